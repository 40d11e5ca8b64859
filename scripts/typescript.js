// `node --import ./scripts/typescript.js FILE.ts`: runs our sources, tests and benches without a build, also
// in worker threads.
//
// Node 22.18 and newer strips types itself, which proves that the sources are erasable. Older versions take
// JavaScript from `.cache/typescript`, which esbuild makes of each file once (typescript-hooks.js). tsx would
// work too, but takes five times as long: a job's worker is up after 0.4 s of CPU instead of 2. In both
// cases `millrace`, as the examples import it, is the source beside it, not dist.

import module from 'node:module';

const isThere = Symbol.for('millrace.loads-typescript') in globalThis;
globalThis[Symbol.for('millrace.loads-typescript')] = true;

if (isThere) {
  // One loader per thread.
} else if (process.features.typescript) {
  const { resolve } = await import('./typescript-hooks.js');
  module.registerHooks({ resolve });
} else {
  process.setSourceMapsEnabled(true);
  module.register('./typescript-hooks.js', import.meta.url);
}
