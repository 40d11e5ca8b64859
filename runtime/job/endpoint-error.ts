/**
 * Errors of sources and sinks, which may be user-defined. They get a code, and a message that names the
 * source or sink.
 */

import { type ErrorCode, MillraceError } from '../../core/index.ts';

/**
 * What `call` resolves to. It may also throw where it should reject.
 *
 * @throws MillraceError `code`, when `call` fails with an error that has no code of its own
 */
export async function guarded<T>(code: ErrorCode, what: string, call: () => T | Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw wrapped(error, code, what);
  }
}

/** @param what what could not be done, and by which source or sink */
export function wrapped(error: unknown, code: ErrorCode, what: string): MillraceError {
  if (error instanceof MillraceError) return error;
  return new MillraceError(code, `${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
}
