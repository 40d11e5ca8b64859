/** What process() refuses of user-defined functions and their state, and the text of these errors. */

import { type AnyRow, MillraceError, shown } from '../../core/index.ts';
import { stateCopy } from './state-copy.ts';

/** A copy of a key's state. */
export function cloned(state: unknown, key: AnyRow): unknown {
  return copied(state, key, structuredClone);
}

/** The same, as fast as can be: before a call that may fail. */
export function copied(state: unknown, key: AnyRow, copy: (state: unknown) => unknown = stateCopy): unknown {
  try {
    return copy(state);
  } catch (cause) {
    throw new MillraceError(
      'ERR_MILLRACE_USER_FUNCTION',
      `The state of process() for the key ${shown(key)} cannot be copied: ${cause instanceof Error ? cause.message : String(cause)} Keep plain values in it: numbers, strings, arrays, objects, Maps, Sets, dates, bytes; no functions and no class instances with methods.`,
      { cause },
    );
  }
}

const CLONED = new Set<unknown>(
  [Object, Array, Map, Set, Date, RegExp, Boolean, Number, String, ArrayBuffer, SharedArrayBuffer, DataView].map(({ prototype }) => prototype as unknown),
);

/**
 * Refuses what structured clone would copy without its class, and so without its methods: the state itself,
 * and values one level deep in it.
 */
export function refuseInstances(state: unknown): void {
  const inner = state instanceof Map || state instanceof Set ? [...state.values()] : typeof state === 'object' && state !== null ? Object.values(state) : [];
  for (const value of [state, ...inner]) {
    if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || value instanceof Error) continue;
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === null || CLONED.has(prototype)) continue;
    const { name } = (prototype as { readonly constructor: { readonly name: string } }).constructor;
    throw new MillraceError(
      'ERR_MILLRACE_USER_FUNCTION',
      `state() of process() gives an instance of ${name}, whose methods would be lost when state is saved and read back. Keep its data, and make the instance anew for the call: state: () => new Gaussian().state, then new Gaussian(ctx.state).`,
    );
  }
}

/** The error of a function that threw. */
export function failed(what: string, row: AnyRow, cause: unknown): MillraceError {
  if (cause instanceof MillraceError && cause.code === 'ERR_MILLRACE_MEMORY') return cause;
  const reason = cause instanceof Error ? `${cause.name === 'MillraceError' ? '' : `${cause.name}: `}${cause.message}` : String(cause);
  return new MillraceError('ERR_MILLRACE_USER_FUNCTION', `process: ${what} failed on ${shown(row)}: ${reason}`, { cause });
}
