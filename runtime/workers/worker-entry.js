// What Piscina loads in a worker thread. JavaScript, because a worker's first file cannot be TypeScript on every Node
// that we support: run from source, it registers tsx before it imports worker.ts, unless this thread loads TypeScript
// already (scripts/typescript.js); in the package it imports worker.js.

import { existsSync } from 'node:fs';

// Piscina tries require() first. A thread that is ended while Node makes a module that was imported out of one that was
// required ends the whole process (an assertion of Node 20.20). What waits at its top level cannot be required.
await undefined;

const isSource = existsSync(new URL('./worker.ts', import.meta.url));

async function load() {
  if (isSource) {
    if (!(Symbol.for('millrace.loads-typescript') in globalThis)) (await import('tsx/esm/api')).register();
    return import('./worker.ts');
  }
  return import('./worker.js');
}

const worker = load().catch((error) => ({
  // As plain values: what an error of a loader says does not survive the way to the main thread.
  work: ({ port }) => {
    port.close();
    return { code: 'ERR_MILLRACE_WORKER', message: `A worker cannot be loaded: ${error?.message ?? error}`, stack: error?.stack, cause: undefined };
  },
}));

export default async function work(task) {
  return (await worker).work(task);
}
