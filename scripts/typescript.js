// `node --import ./scripts/typescript.js FILE.ts`: how our sources, tests and benches run without a build, in worker threads too.
//
// Where Node strips types itself (22.18 and newer) it does so here, which proves that the sources are erasable. Older ones take
// JavaScript from `.cache/typescript`, which esbuild makes of each file once (typescript-hooks.js). tsx would do, too, but takes
// three times as much: a job's worker is there in 0.4 s of CPU instead of 2. In both cases `millrace`, as the examples import it,
// is the source beside it, not dist.

import module from 'node:module';

const isThere = Symbol.for('millrace.loads-typescript') in globalThis;
globalThis[Symbol.for('millrace.loads-typescript')] = true;

if (isThere) {
  // One loader a thread.
} else if (process.features.typescript) {
  const { resolve } = await import('./typescript-hooks.js');
  module.registerHooks({ resolve });
} else {
  process.setSourceMapsEnabled(true);
  module.register('./typescript-hooks.js', import.meta.url);
}
