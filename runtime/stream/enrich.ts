/** `enrich`: the options of an asynchronous look-up, as a row operation. */

import { checkOptionNames, type Duration, durationMs, MillraceError, type Schema, shown } from '../../core/index.ts';
import type { Lookup, LookupCache, RowOperation } from '../../operators/index.ts';

export interface EnrichOptions<R = Readonly<Record<string, unknown>>> {
  /** Calls under way in each worker thread. Default 100. */
  readonly concurrency?: number;
  /** How long a call may take; its signal is aborted then. Default `'10s'`. */
  readonly timeout?: Duration;
  /** How often a call that failed is made again, after pauses that grow. Default 2. */
  readonly retries?: number;
  /**
   * Default true. Rows keep their order with false, too: an epoch waits for its last answer anyhow, so that nothing would
   * come out earlier without it.
   */
  readonly ordered?: boolean;
  /** Answers that each worker thread keeps: one for all rows with the same values in the columns `by`. */
  readonly cache?: {
    readonly by: (keyof R & string) | readonly (keyof R & string)[];
    /** How many; the least recently used go first. Default 10,000. */
    readonly size?: number;
    /** How old an answer may be. Default `'1m'`. */
    readonly ttl?: Duration;
  };
}

const CONCURRENCY = 100;
const CONCURRENCY_MAX = 10_000;
const TIMEOUT_MS = 10_000;
const RETRIES = 2;
const CACHE_SIZE = 10_000;
const CACHE_TTL_MS = 60_000;

/** @throws MillraceError ERR_MILLRACE_OPTION */
export function enrichOperation(schema: Schema, fn: Lookup['fn'], options: EnrichOptions, input: Schema): RowOperation {
  checkOptionNames('enrich()', options, { concurrency: true, timeout: true, retries: true, ordered: true, cache: true });
  const { concurrency = CONCURRENCY, timeout = TIMEOUT_MS, retries = RETRIES, ordered = true, cache } = options;
  if (typeof ordered !== 'boolean') throw new MillraceError('ERR_MILLRACE_OPTION', `enrich(): ordered is ${shown(ordered)}; it must be true or false.`);
  return {
    kind: 'enrich',
    schema,
    fn,
    concurrency: whole('concurrency', concurrency, 1, CONCURRENCY_MAX),
    timeoutMs: durationMs(timeout, 'enrich(): timeout', 1),
    retries: whole('retries', retries, 0, 100),
    cache: cache && cacheOf(cache, input),
  };
}

function cacheOf(cache: NonNullable<EnrichOptions['cache']>, input: Schema): LookupCache {
  checkOptionNames('enrich(): cache', cache, { by: true, size: true, ttl: true });
  const { by, size = CACHE_SIZE, ttl = CACHE_TTL_MS } = cache;
  if (by === undefined || [by].flat().length === 0)
    throw new MillraceError('ERR_MILLRACE_OPTION', "enrich(): cache has no by. Name the columns that the answer depends on: cache: { by: 'user' }.");
  for (const column of [by].flat()) input.require(column, 'enrich(): cache by');
  return { by: [by].flat(), size: whole('cache size', size, 1, 10_000_000), ttlMs: durationMs(ttl, 'enrich(): cache ttl', 1) };
}

function whole(name: string, value: number, min: number, max: number): number {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
  throw new MillraceError('ERR_MILLRACE_OPTION', `enrich(): ${name} is ${shown(value)}; it must be a whole number from ${min} to ${max}.`);
}
