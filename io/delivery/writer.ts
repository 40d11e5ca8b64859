/** The coordinator's end of a sink that delivers records: everything but its protocol. */

import type { SinkBlock, SinkCounts, SinkInfo, SinkWriter } from '../sink.ts';
import { Delivery, type DeliveryContext } from './delivery.ts';
import type { DeliverySettings } from './options.ts';
import type { Transport } from './transport.ts';

/**
 * At-least-once and exactly-once alike `commit` resolves when the server has everything: such a sink is
 * idempotent, or its rows come again.
 */
export class DeliveryWriter implements SinkWriter {
  readonly info: SinkInfo;
  readonly #delivery: Delivery;

  /** @param info what the encoders need to know */
  constructor(transport: Transport, settings: DeliverySettings, context: DeliveryContext, info: SinkInfo = { partitionCount: 1 }) {
    this.info = info;
    this.#delivery = new Delivery(transport, settings, context);
  }

  write(block: SinkBlock): Promise<void> {
    return this.#delivery.write(block);
  }

  commit(): Promise<void> {
    return this.#delivery.settle();
  }

  counts(): SinkCounts {
    return this.#delivery.counts;
  }

  close(): Promise<void> {
    return this.#delivery.close();
  }
}
