/** The coordinator's end, exactly-once: requests go into the staging table, and its rows into the table with a checkpoint. */

import { Delivery, type DeliveryContext, type DeliverySettings, untilOpen } from '../delivery/index.ts';
import type { SinkBlock, SinkCounts, SinkInfo, SinkWriter } from '../sink.ts';
import { type Connection, failureOf } from './connection.ts';
import { Loader } from './loader.ts';
import type { RefusedLate, Staging } from './staging.ts';

export class StagedWriter implements SinkWriter {
  readonly info: SinkInfo = { partitionCount: 1 };
  readonly #place: string;
  readonly #connect: (signal: AbortSignal) => Promise<Connection>;
  readonly #staging: Staging;
  readonly #settings: DeliverySettings;
  readonly #context: DeliveryContext;
  readonly #delivery: Delivery;
  #control: Connection | undefined;
  /** Rows came since the last commit. */
  #isStaged = false;
  #isPrepared = false;
  /** The server is away, and a checkpoint waits for it. */
  #isWaiting = false;

  /** @param place of the server, for messages */
  constructor(place: string, connect: (signal: AbortSignal) => Promise<Connection>, staging: Staging, settings: DeliverySettings, context: DeliveryContext) {
    this.#place = place;
    this.#connect = connect;
    this.#staging = staging;
    this.#settings = settings;
    this.#context = context;
    this.#delivery = new Delivery(new Loader(context.name, place, connect, staging), settings, context);
  }

  async recover(checkpoint: number): Promise<void> {
    await this.#refuse(checkpoint, await this.#settled((connection, signal) => this.#staging.recover(connection, signal, checkpoint)));
  }

  write(block: SinkBlock): Promise<void> {
    this.#isStaged = true;
    return this.#delivery.write(block);
  }

  async prepare(checkpoint: number): Promise<void> {
    await this.#delivery.settle();
    if (!this.#isStaged) return;
    await this.#settled((connection, signal) => this.#staging.prepare(connection, signal, checkpoint));
    this.#isPrepared = true;
  }

  async commit(checkpoint: number): Promise<void> {
    if (!this.#isPrepared) return;
    await this.#refuse(checkpoint, await this.#settled((connection, signal) => this.#staging.commit(connection, signal, checkpoint)));
    this.#isPrepared = false;
    this.#isStaged = false;
  }

  counts(): SinkCounts {
    const counts = this.#delivery.counts;
    return { ...counts, isWaiting: counts.isWaiting || this.#isWaiting };
  }

  async close(): Promise<void> {
    await this.#delivery.close();
    await this.#control?.close();
  }

  /** Tries until the server has done it. What it did without our hearing of it, it does not do again. */
  #settled<T>(attempt: (connection: Connection, signal: AbortSignal) => Promise<T>): Promise<T> {
    const { name, signal: ends, waiting } = this.#context;
    const told = (what: string | undefined): void => {
      this.#isWaiting = what !== undefined;
      waiting?.(what);
    };
    // To move the rows of a checkpoint takes longer than a request.
    const settings = { ...this.#settings, requestTimeoutMs: Math.max(this.#settings.requestTimeoutMs, this.#settings.deliveryTimeoutMs) };
    return untilOpen(name, settings, { signal: ends, waiting: told }, async (signal) => {
      try {
        if (this.#control === undefined || this.#control.isOver) this.#control = await this.#connect(signal);
        return await attempt(this.#control, signal);
      } catch (error) {
        this.#control?.destroy();
        throw failureOf(name, this.#place, error);
      }
    });
  }

  async #refuse(checkpoint: number, refused: readonly RefusedLate[]): Promise<void> {
    await this.#delivery.refuse(refused.map(({ row, message }) => ({ epoch: checkpoint, unit: 0, record: Buffer.from(row), message })));
  }
}
