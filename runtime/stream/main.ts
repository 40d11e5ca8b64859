/**
 * `main`: the program in a pipeline's own module, which runs only if that module was started. So a pipeline
 * and its program can be one file, although workers, tests and other programs import that file for its
 * pipeline.
 */

import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isMainThread } from 'node:worker_threads';
import { MillraceError, shown } from '../../core/index.ts';

/**
 * Calls `program` once the module is loaded, if Node was started with this module. Does nothing where a
 * worker or another module imports it. What `program` throws is printed, and the process ends with code 1.
 *
 * A module must not await `run` of itself at its top level, because `run` waits for that module to be loaded.
 * Here it can.
 *
 * @param module `import.meta.url`
 * @example
 * export default pipeline('clicks').from(...).to(...);
 *
 * main(import.meta.url, async () => {
 *   const job = await run(import.meta.url, { workers: 2 });
 *   await job.done;
 * });
 */
export function main(module: URL | string, program: () => unknown): void {
  if (typeof program !== 'function') {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `main() got ${shown(program)} where a program is needed. Write: main(import.meta.url, async () => { ... }).`,
    );
  }
  if (!isMainThread || !isStarted(module)) return;
  Promise.resolve()
    .then(program)
    .catch((error) => {
      console.error(error);
      process.exitCode = 1;
    });
}

/** Whether a module is the one that `node` was started with. */
function isStarted(module: URL | string): boolean {
  const started = process.argv[1];
  if (started === undefined) return false;
  try {
    // npx and tests start programs by links, and Node gives modules their real path.
    return realpathSync(started) === realpathSync(fileURLToPath(module));
  } catch {
    // Not a file: a module by its data: URL, or a program from the standard input.
    return false;
  }
}
