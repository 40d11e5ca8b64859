/**
 * Loads a pipeline module and makes its plan: the same steps on the main thread and in every worker, because a closure
 * cannot cross threads but a module can be imported on both sides.
 */

import { MillraceError, shown } from '../../core/index.ts';
import { type Graph, graphOf } from '../plan/graph.ts';

export type Params = Readonly<Record<string, unknown>>;

let typescript: Promise<unknown> | undefined;

let isInWorker = false;

/** From here on this thread is a worker of a job: what it loads must not run jobs of its own. */
export function enterWorker(): void {
  isInWorker = true;
}

/** @throws MillraceError ERR_MILLRACE_MODULE in a worker of a job */
export function refuseInWorker(url: string): void {
  if (!isInWorker) return;
  throw new MillraceError(
    'ERR_MILLRACE_MODULE',
    `A worker that loads its pipeline came to run(${shown(url)}): every worker would start the job again. Put the call into main(import.meta.url, async () => { ... }), or into another module.`,
  );
}

/** From here on this thread imports .ts files (tsx: Node's own type stripping is not in our oldest Node, and strips less). */
export function supportTypeScript(): Promise<unknown> {
  typescript ??= import('tsx/esm/api').then(({ register }) => register());
  return typescript;
}

/**
 * The graph of the module's default export: a pipeline, or a function of `params` that gives one.
 *
 * @throws MillraceError ERR_MILLRACE_MODULE when the module cannot be imported or exports no pipeline; whatever the
 * module itself throws as a MillraceError passes through
 */
export async function loadGraph(url: string, params: Params): Promise<Graph> {
  const module = await importModule(url);
  const exported = module.default;
  if (exported === undefined) {
    throw new MillraceError(
      'ERR_MILLRACE_MODULE',
      `The module ${shown(url)} has no default export. Write: export default pipeline('name').from(...)...to(...).`,
    );
  }
  const value = typeof exported === 'function' ? await callExport(exported as (params: Params) => unknown, params, url) : exported;
  const graph = graphOf(value);
  if (graph === undefined) {
    throw new MillraceError(
      'ERR_MILLRACE_MODULE',
      `The default export of ${shown(url)} is ${shown(value)}, which is no pipeline. Export a pipeline, or a function that returns one.`,
    );
  }
  return graph;
}

async function callExport(fn: (params: Params) => unknown, params: Params, url: string): Promise<unknown> {
  try {
    return await fn(params);
  } catch (error) {
    if (error instanceof MillraceError) throw error;
    throw new MillraceError('ERR_MILLRACE_MODULE', `The default export of ${shown(url)} threw: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

async function importModule(url: string): Promise<{ default?: unknown }> {
  // Before the first import: Node remembers a failed one.
  if (/\.[cm]?tsx?$/.test(new URL(url).pathname)) await supportTypeScript();
  let nothingLeft = () => {};
  // Nothing left to wait for, and still not loaded: Node would end with code 13 and no word.
  const waitsForItself = new Promise<never>((_, reject) => {
    nothingLeft = () =>
      reject(
        new MillraceError(
          'ERR_MILLRACE_MODULE',
          `The module ${shown(url)} waits for itself: at its top level it awaits a run() that needs it loaded. Put the call into main(import.meta.url, async () => { ... }), or into another module.`,
        ),
      );
  });
  process.once('beforeExit', nothingLeft);
  try {
    return await Promise.race([import(url), waitsForItself]);
  } catch (error) {
    if (error instanceof MillraceError) throw error;
    throw new MillraceError('ERR_MILLRACE_MODULE', `The module ${shown(url)} cannot be loaded: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  } finally {
    process.removeListener('beforeExit', nothingLeft);
  }
}
