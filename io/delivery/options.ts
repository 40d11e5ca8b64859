/** The options that all sinks share that deliver records to a server. */

import { type Duration, durationMs, MillraceError, shown, shownPath } from '../../core/index.ts';

export interface DeliveryOptions {
  /**
   * Requests under way at a time. Rows of one unit (a group of shards, or a partition of the source) share a
   * lane, so rows of one key stay in their order. Default 4.
   */
  readonly concurrency?: number;
  /** Most rows in one request. */
  readonly requestRows?: number;
  /** Most bytes in one request; a larger row goes alone. */
  readonly requestBytes?: number;
  /** How long one request may take. Default `'30s'`. */
  readonly requestTimeout?: Duration;
  /** How long a server that is away or too busy is waited for, before the job fails. Default `'2m'`. */
  readonly deliveryTimeout?: Duration;
  /**
   * What becomes of rows that the server refuses for what is in them. `ledger` (default): each is counted as
   * `refused`, with the server's message as a sample, and the others go on. `fail`: the first one ends the job.
   */
  readonly refused?: 'ledger' | 'fail';
  /** A folder to which refused rows are appended, with the server's message, as lines of JSON. */
  readonly deadLetters?: string;
}

export interface DeliverySettings {
  readonly concurrency: number;
  readonly requestRows: number;
  readonly requestBytes: number;
  readonly requestTimeoutMs: number;
  readonly deliveryTimeoutMs: number;
  readonly refused: 'ledger' | 'fail';
  readonly deadLetters: string | undefined;
}

/** For `checkOptionNames`. */
export const DELIVERY_OPTIONS = {
  concurrency: true,
  requestRows: true,
  requestBytes: true,
  requestTimeout: true,
  deliveryTimeout: true,
  refused: true,
  deadLetters: true,
} as const;

const CONCURRENCY = 4;
const CONCURRENCY_MAX = 64;
const REQUEST_TIMEOUT_MS = 30_000;
const DELIVERY_TIMEOUT_MS = 120_000;

/**
 * @param what whose options they are, as the message begins
 * @param defaults of the server: rows and bytes of a request that suit it
 * @throws MillraceError ERR_MILLRACE_OPTION
 */
export function deliverySettings(
  what: string,
  options: DeliveryOptions,
  defaults: { readonly requestRows: number; readonly requestBytes: number; readonly concurrency?: number },
): DeliverySettings {
  const { refused = 'ledger', deadLetters } = options;
  if (refused !== 'ledger' && refused !== 'fail') {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `${what}: refused is ${shown(refused)}; it must be 'ledger' (rows that the server refuses are counted) or 'fail' (the first one ends the job).`,
    );
  }
  if (deadLetters !== undefined && (typeof deadLetters !== 'string' || deadLetters === ''))
    throw new MillraceError('ERR_MILLRACE_OPTION', `${what}: deadLetters is ${shownPath(deadLetters)}; it must be the path of a folder.`);
  const whole = (name: 'concurrency' | 'requestRows' | 'requestBytes', standard: number, max: number): number => {
    const value = options[name] ?? standard;
    if (Number.isSafeInteger(value) && value >= 1 && value <= max) return value;
    throw new MillraceError('ERR_MILLRACE_OPTION', `${what}: ${name} is ${shown(value)}; it must be a whole number from 1 to ${max}.`);
  };
  return {
    concurrency: whole('concurrency', defaults.concurrency ?? CONCURRENCY, CONCURRENCY_MAX),
    requestRows: whole('requestRows', defaults.requestRows, 1_000_000),
    requestBytes: whole('requestBytes', defaults.requestBytes, 1 << 30),
    requestTimeoutMs: durationMs(options.requestTimeout ?? REQUEST_TIMEOUT_MS, `${what}: requestTimeout`, 1),
    deliveryTimeoutMs: durationMs(options.deliveryTimeout ?? DELIVERY_TIMEOUT_MS, `${what}: deliveryTimeout`, 1),
    refused,
    deadLetters,
  };
}
