/**
 * Assertions for programmer errors, kept in production. They are at batch boundaries, never inside a row
 * loop.
 */

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`millrace: assertion failed: ${message}`);
}

/** For the default case of a switch over a closed union. */
export function unreachable(value: never, what: string): never {
  throw new Error(`millrace: assertion failed: unknown ${what} ${String(value)}`);
}
