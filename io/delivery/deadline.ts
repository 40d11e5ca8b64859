/** One attempt that is given up when it takes too long, or when the job ends. */

import { Unavailable } from './transport.ts';

/**
 * @throws Unavailable when the time is up; the reason of `signal` when it is aborted; else what `attempt` throws
 */
export async function withDeadline<T>(ms: number, signal: AbortSignal, attempt: (signal: AbortSignal) => Promise<T>): Promise<T> {
  signal.throwIfAborted();
  const abort = new AbortController();
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    abort.abort();
  }, ms);
  const end = (): void => abort.abort(signal.reason);
  signal.addEventListener('abort', end);
  try {
    return await attempt(abort.signal);
  } catch (error) {
    signal.throwIfAborted();
    if (isLate) throw new Unavailable(`it did not answer within ${ms} ms (requestTimeout)`, { cause: error });
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', end);
  }
}
