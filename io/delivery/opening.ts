/** A server that is not there yet when a job starts is waited for, as one that goes away later. */

import type { SinkContext } from '../sink.ts';
import { Circuit } from './circuit.ts';
import { withDeadline } from './deadline.ts';
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
  try {
    for (;;) {
      await circuit.enter();
      try {
        const made = await withDeadline(requestTimeoutMs, signal, attempt);
        circuit.succeeded();
        return made;
      } catch (error) {
        if (!(error instanceof Unavailable)) throw error;
        circuit.failed(error);
      }
    }
  } finally {
    circuit.close();
  }
}
