/** A logger, as the package calls one: an object with what is known, then a message, as pino has it. */

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * What `run` takes as `logger`. A pino logger is one as it is, and so is `console`. `messageFirst` makes one of a
 * logger that takes the message first, such as winston's.
 */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
