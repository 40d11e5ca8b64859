/** Errors on their way from a worker's thread to the main one. */

import { ERROR_CODES, type ErrorCode, MillraceError } from '../../core/index.ts';

/** An error that crosses a thread boundary, as structured cloning loses the class and the code. */
export interface PortableError {
  readonly code: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly cause: string | undefined;
}

export function portableError(error: unknown): PortableError {
  const isOurs = error instanceof Error && ERROR_CODES.includes((error as { code?: ErrorCode }).code as ErrorCode);
  return {
    code: isOurs ? (error as MillraceError).code : 'ERR_MILLRACE_WORKER',
    message: error instanceof Error ? (isOurs ? error.message : `A worker failed: ${error.message}`) : `A worker failed: ${String(error)}`,
    stack: error instanceof Error ? error.stack : undefined,
    cause: error instanceof Error && error.cause !== undefined ? String((error.cause as Error)?.stack ?? error.cause) : undefined,
  };
}

export function revive(error: PortableError): MillraceError {
  const revived = new MillraceError(error.code as ErrorCode, error.message, error.cause === undefined ? {} : { cause: error.cause });
  if (error.stack !== undefined) revived.stack = error.stack;
  return revived;
}
