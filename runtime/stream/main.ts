/**
 * `main`: what a pipeline module does besides when it is the program that was started. A pipeline and the program that
 * runs it can so be one file, though workers, tests and other programs import that file for its pipeline.
 */

import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isMainThread } from 'node:worker_threads';
import { MillraceError, shown } from '../../core/index.ts';

/**
 * Calls `program` if the module is the one that Node was started with, once the module is loaded; does nothing where a worker or
 * another module imports it. What `program` throws is printed, and the process ends with code 1.
 *
 * `run` of the module that one is in must not be awaited at the top level, because it waits for that module to be loaded; here it
 * can be.
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

/** Whether a module is what stands behind `node` on the command line. */
function isStarted(module: URL | string): boolean {
  const started = process.argv[1];
  if (started === undefined) return false;
  try {
    // Links: npx and tests start programs by them, and Node gives modules their real place.
    return realpathSync(started) === realpathSync(fileURLToPath(module));
  } catch {
    // No file: a module by its data: URL, or a program from the standard input.
    return false;
  }
}
