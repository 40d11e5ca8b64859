/** A server that is not there yet when a job starts is waited for, as one that goes away later. */

import type { SinkContext } from '../sink.ts';
import { Circuit } from './circuit.ts';
import type { DeliverySettings } from './options.ts';
import { Unavailable } from './transport.ts';

/**
 * Tries to open until it works. An attempt that takes longer than the request timeout is given up.
 *
 * @param name whose it is, and where
 * @throws MillraceError ERR_MILLRACE_SINK when the patience is at its end; what `attempt` throws that is not
 * Unavailable
 */
export async function untilOpen<T>(
  name: string,
  { deliveryTimeoutMs, requestTimeoutMs }: DeliverySettings,
  { signal, waiting }: Pick<SinkContext, 'signal' | 'waiting'>,
  attempt: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const circuit = new Circuit({ name, patienceMs: deliveryTimeoutMs, signal, waiting });
  for (;;) {
    await circuit.enter();
    const timeout = AbortSignal.timeout(requestTimeoutMs);
    try {
      const made = await attempt(AbortSignal.any([signal, timeout]));
      circuit.succeeded();
      return made;
    } catch (error) {
      signal.throwIfAborted();
      if (timeout.aborted) circuit.failed(new Unavailable(`it did not answer within ${requestTimeoutMs} ms (requestTimeout)`, { cause: error }));
      else if (error instanceof Unavailable) circuit.failed(error);
      else throw error;
    }
  }
}
