/**
 * Loads a pipeline module and makes its plan: the same steps on the main thread and in every worker, because
 * a closure cannot cross threads but a module can be imported on both sides.
 */

import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { MillraceError, shownPath } from '../../core/index.ts';
import { type Graph, graphOf } from '../plan/index.ts';

export type Params = Readonly<Record<string, unknown>>;

let typescript: Promise<unknown> | undefined;

let isInWorker = false;

/** From here on this thread is a worker of a job. What it loads must not run jobs of its own. */
export function enterWorker(): void {
  isInWorker = true;
}

/** @throws MillraceError ERR_MILLRACE_MODULE in a worker of a job */
export function refuseInWorker(url: string): void {
  if (!isInWorker) return;
  throw new MillraceError(
    'ERR_MILLRACE_MODULE',
    `A worker that loads its pipeline came to run(${shownPath(url)}): every worker would start the job again. Put the call into main(import.meta.url, async () => { ... }), or into another module.`,
  );
}

/**
 * Set on a thread that loads .ts files already (scripts/typescript.js). A second loader would only cost time.
 */
const LOADS_TYPESCRIPT = Symbol.for('millrace.loads-typescript');

/**
 * From here on this thread loads .ts files, as ES modules and, in a package of `"type": "commonjs"`, as
 * CommonJS. It uses tsx, as our oldest Node strips no types, and newer ones strip less.
 */
export function supportTypeScript(): Promise<unknown> {
  if (LOADS_TYPESCRIPT in globalThis) return Promise.resolve();
  typescript ??= Promise.all([import('tsx/cjs/api'), import('tsx/esm/api')]).then(([commonjs, esm]) => [commonjs.register(), esm.register()]);
  return typescript;
}

/**
 * The graph of the module's default export: a pipeline, or a function of `params` that returns one.
 *
 * @throws MillraceError ERR_MILLRACE_MODULE when the module cannot be imported or exports no pipeline;
 *   whatever the module itself throws as a MillraceError passes through
 */
export async function loadGraph(url: string, params: Params): Promise<Graph> {
  const exported = defaultExport(await importModule(url));
  if (exported === undefined) {
    throw new MillraceError(
      'ERR_MILLRACE_MODULE',
      `The module ${shownPath(url)} has no default export. Write: export default pipeline('name').from(...)...to(...).`,
    );
  }
  const value = typeof exported === 'function' ? await callExport(exported as (params: Params) => unknown, params, url) : exported;
  const graph = graphOf(value);
  if (graph === undefined) {
    throw new MillraceError(
      'ERR_MILLRACE_MODULE',
      `The default export of ${shownPath(url)} is ${described(value)}, which is no pipeline. Export a pipeline, or a function that returns one.`,
    );
  }
  return graph;
}

/**
 * `export default` of a module that was compiled to CommonJS is one level down: the default import is all of
 * its exports.
 */
function defaultExport(module: { default?: unknown }): unknown {
  const exported = module.default;
  const isCompiled = typeof exported === 'object' && exported !== null && (exported as { __esModule?: unknown }).__esModule === true;
  return isCompiled ? (exported as { default?: unknown }).default : exported;
}

/**
 * A value that should have been a pipeline, for a message: its type, or its names. All its content would say
 * less.
 */
function described(value: unknown): string {
  if (typeof value !== 'object' || value === null) return typeof value === 'function' ? 'a function' : String(value);
  if (Array.isArray(value)) return `an array of ${value.length}`;
  const names = Object.keys(value).slice(0, 5);
  return names.length === 0 ? 'an object without properties' : `an object with ${names.join(', ')}`;
}

async function callExport(fn: (params: Params) => unknown, params: Params, url: string): Promise<unknown> {
  try {
    return await fn(params);
  } catch (error) {
    if (error instanceof MillraceError) throw error;
    throw new MillraceError('ERR_MILLRACE_MODULE', `The default export of ${shownPath(url)} threw: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

async function importModule(url: string): Promise<{ default?: unknown }> {
  // Before the first import: Node remembers a failed one.
  if (/\.[cm]?tsx?$/.test(new URL(url).pathname)) await supportTypeScript();
  let nothingLeft = () => {};
  // Nothing is left to wait for, and the module is not loaded: Node would end with code 13, without a
  // message.
  const waitsForItself = new Promise<never>((_, reject) => {
    nothingLeft = () =>
      reject(
        new MillraceError(
          'ERR_MILLRACE_MODULE',
          `The module ${shownPath(url)} waits for itself: at its top level it awaits a run() that needs it loaded. Put the call into main(import.meta.url, async () => { ... }), or into another module.`,
        ),
      );
  });
  process.once('beforeExit', nothingLeft);
  try {
    // By require: import() of it ends in Node with "request for ... is not in cache" where it requires an ES
    // module that is half loaded.
    if (url.startsWith('file:') && url.endsWith('.cts')) return { default: createRequire(url)(fileURLToPath(url)) };
    return await Promise.race([import(url), waitsForItself]);
  } catch (error) {
    if (error instanceof MillraceError) throw error;
    throw new MillraceError('ERR_MILLRACE_MODULE', `The module ${shownPath(url)} cannot be loaded: ${reasonOf(error)}`, { cause: error });
  } finally {
    process.removeListener('beforeExit', nothingLeft);
  }
}

/** Why a module cannot be loaded, and what to do where the message of Node or esbuild leaves that open. */
function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  if (/statement outside a module|^Unexpected token 'export'|import\.meta' outside a module/.test(message)) {
    return `${message}. It is read as CommonJS, as its package.json says: name the file .mjs, or set "type": "module" there.`;
  }
  if (/Top-level await .*"cjs"/.test(message)) {
    return `${message.trim()}\nIt is compiled to CommonJS, as its package.json says: put the await into an async function, name the file .mts, or set "type": "module" there.`;
  }
  if ((error as NodeJS.ErrnoException | undefined)?.code === 'ERR_UNKNOWN_FILE_EXTENSION') {
    return `${message}. A pipeline module is .ts, .mts, .cts, .js, .mjs or .cjs.`;
  }
  return message;
}
