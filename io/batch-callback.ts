/**
 * `forEachBatch`: a sink that calls a user-defined function in the worker that made the rows. Nothing
 * travels.
 */

import { type Batch, checkOptionNames, MillraceError, shown } from '../core/index.ts';
import type { Sink, SinkPosition } from './sink.ts';

/** The batch is valid during the call only: copy what must outlive it (`batch.toRows()`). */
export type BatchCallback = (batch: Batch, position: SinkPosition) => void;

export interface BatchCallbackOptions {
  /**
   * `idempotent`: seeing rows again, perhaps in batches that are cut differently, is the same as seeing them
   * once (it stores them by their key, for example). Exactly-once takes no other function. Default:
   * `at-least-once`.
   */
  readonly delivery?: 'at-least-once' | 'idempotent';
}

/**
 * At-least-once: after a failure the function may see an epoch again. It must be synchronous, because a worker
 * does not wait. An error that it throws ends the job with ERR_MILLRACE_USER_FUNCTION.
 */
export function forEachBatch(callback: BatchCallback, options: BatchCallbackOptions = {}): Sink<never> {
  if (typeof callback !== 'function')
    throw new MillraceError('ERR_MILLRACE_PIPELINE', `forEachBatch got ${shown(callback)}; pass a function (batch, { epoch, shard }) => void.`);
  checkOptionNames('forEachBatch', options, { delivery: true });
  const { delivery = 'at-least-once' } = options;
  if (delivery !== 'at-least-once' && delivery !== 'idempotent')
    throw new MillraceError('ERR_MILLRACE_OPTION', `forEachBatch: delivery is ${shown(delivery)}; it must be 'at-least-once' or 'idempotent'.`);
  return {
    name: 'forEachBatch',
    delivery,
    check: () => {},
    open: async () => ({ info: { partitionCount: 1 }, write: async () => {}, commit: async () => {}, close: async () => {} }),
    encoder: (context) => ({
      write(batch) {
        if (batch.rowCount > 0) call(callback, batch, context.position());
      },
      flush: () => {},
    }),
  };
}

function call(callback: BatchCallback, batch: Batch, position: SinkPosition): void {
  const where = `in epoch ${position.epoch}, shard ${position.shard}`;
  let result: unknown;
  try {
    result = callback(batch, position);
  } catch (cause) {
    throw new MillraceError(
      'ERR_MILLRACE_USER_FUNCTION',
      `The function of forEachBatch failed ${where}: ${cause instanceof Error ? cause.message : shown(cause)}`,
      { cause },
    );
  }
  if (typeof (result as PromiseLike<unknown> | undefined)?.then === 'function') {
    (result as Promise<unknown>).then(undefined, () => {}); // otherwise its rejection would end the process
    throw new MillraceError(
      'ERR_MILLRACE_USER_FUNCTION',
      `The function of forEachBatch gave a promise ${where}. A worker does not wait: make the function synchronous, or write a sink.`,
    );
  }
}
