/** A server that is not there yet when a job starts is waited for, as one that goes away later. */

import type { SinkContext } from '../sink.ts';
import type { DeliverySettings } from './options.ts';
import { Patience } from './patience.ts';

/**
 * Tries to open until it works. An attempt that takes longer than the request timeout is given up.
 *
 * @param name whose it is, and where
 * @throws MillraceError ERR_MILLRACE_SINK when the patience is at its end; what `attempt` throws that is not
 * Unavailable
 */
export async function untilOpen<T>(
  name: string,
  settings: DeliverySettings,
  context: Pick<SinkContext, 'signal' | 'waiting'>,
  attempt: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const patience = new Patience(name, settings, context);
  try {
    return await patience.call(attempt);
  } finally {
    patience.close();
  }
}
