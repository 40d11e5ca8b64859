/**
 * The only error type of the package and the closed list of its codes.
 *
 * An operating error (bad input, an unreachable broker, a wrong pipeline) is a `MillraceError`: the message
 * says what could not be done, with which value, and what to do. A programmer error is an assertion
 * (assert.ts).
 */

import { isSecretName, MASK, withoutSecrets } from './secrets.ts';

export const ERROR_CODES = [
  'ERR_MILLRACE_BALANCE', // rows were lost, or counted twice, between threads: a fault of this package
  'ERR_MILLRACE_BATCH', // bytes that are not a valid Arrow message
  'ERR_MILLRACE_BROKER', // a Kafka broker cannot be reached, or refuses
  'ERR_MILLRACE_CAPACITY', // a fixed-size structure is asked to hold more than it can
  'ERR_MILLRACE_CHECKPOINT', // a position or a state file cannot be read or written
  'ERR_MILLRACE_CODEC', // a value cannot be decoded or encoded
  'ERR_MILLRACE_CORRUPT', // bytes whose checksum or framing is broken
  'ERR_MILLRACE_FENCED', // another process has taken this job over
  'ERR_MILLRACE_FILE', // a file or folder cannot be read or written
  'ERR_MILLRACE_MEMORY', // the memory budget is used up
  'ERR_MILLRACE_MODULE', // a pipeline module cannot be loaded, or has no usable default export
  'ERR_MILLRACE_OPTION', // an option has an invalid value
  'ERR_MILLRACE_PIPELINE', // a pipeline that cannot be run as written
  'ERR_MILLRACE_SCHEMA', // a schema, or a value that does not fit its column
  'ERR_MILLRACE_SINK', // a sink failed to write
  'ERR_MILLRACE_SOURCE', // a source failed to read
  'ERR_MILLRACE_SPILL', // state that was put away on disk cannot be written or read
  'ERR_MILLRACE_STATE', // the state of a checkpoint is damaged
  'ERR_MILLRACE_TOPIC', // a topic that does not exist
  'ERR_MILLRACE_TRANSACTION', // a transaction was not committed, or may not have been
  'ERR_MILLRACE_USER_FUNCTION', // a user-defined function threw
  'ERR_MILLRACE_VIEW', // live state cannot be read as of an epoch
  'ERR_MILLRACE_WORKER', // a worker thread died
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

const OURS: unique symbol = Symbol.for('millrace.error');

/**
 * An operating error, with a stable `code` of {@link ERROR_CODES} and the cause where there is one. Its message shows no
 * secret (secrets.ts).
 */
export class MillraceError extends Error {
  readonly code: ErrorCode;

  /** Of any copy of this package: a process may have two, such as the sources beside what was built of them. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && OURS in value;
  }

  /** @internal */
  get [OURS](): true {
    return true;
  }

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(withoutSecrets(message), options);
    this.name = 'MillraceError';
    this.code = code;
  }
}

/** A value for an error message: quoted, on one line, at most 80 characters. */
export function shown(value: unknown): string {
  let text: string;
  if (typeof value === 'string') text = JSON.stringify(value);
  else if (typeof value === 'bigint') text = `${value}n`;
  else if (typeof value === 'function') text = `function ${value.name || '(anonymous)'}`;
  else if (typeof value === 'object' && value !== null) {
    try {
      text = JSON.stringify(value, plain) ?? Object.prototype.toString.call(value);
    } catch {
      text = Object.prototype.toString.call(value);
    }
  } else text = String(value);
  // First masked, then cut: half of a secret is not known by its value.
  text = withoutSecrets(text);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/**
 * The path or URL of a file or folder for an error message. Its end names the file, so a long one is
 * shortened in the middle: at most 200 characters. What is not a text is shown like any value.
 */
export function shownPath(path: unknown): string {
  if (typeof path !== 'string' && !(path instanceof URL)) return shown(path);
  const text = withoutSecrets(JSON.stringify(String(path)));
  return text.length > 200 ? `${text.slice(0, 60)}...${text.slice(-137)}` : text;
}

/** What JSON cannot represent, as text; secrets masked by their names. */
function plain(name: string, value: unknown): unknown {
  if (name !== '' && isSecretName(name) && value !== undefined && value !== null && typeof value !== 'boolean') return MASK;
  if (typeof value === 'bigint') return `${value}n`;
  return value instanceof Uint8Array ? `${value.length} bytes` : value;
}
