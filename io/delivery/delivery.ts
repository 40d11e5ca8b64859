/**
 * Delivery: how records get to a server that takes or refuses each of them. Bounded lanes in flight, one
 * request at a time in each; what the server may take later is sent again, alone and in order; what it refuses
 * for good goes to the ledger; an outage opens the circuit for all lanes. It knows no protocol: a Transport
 * sends.
 *
 * A block is settled when each of its records is stored or refused. So a server that is slow or away holds the
 * epoch, the epoch holds the next cut, and that the sources: nothing piles up here.
 */

import { MillraceError } from '../../core/index.ts';
import type { SinkBlock, SinkContext, SinkCounts } from '../sink.ts';
import { Circuit } from './circuit.ts';
import { withDeadline } from './deadline.ts';
import { Lane, type LaneRequest, type Pending, QueuedBlock } from './lane.ts';
import type { DeliverySettings } from './options.ts';
import { type Refusal, Refusals } from './refusals.ts';
import { type RecordFault, type Records, Refused, TooLarge, type Transport, Unavailable } from './transport.ts';

export interface DeliveryContext extends Pick<SinkContext, 'pipeline' | 'signal' | 'waiting' | 'refused' | 'report'> {
  /** Whose it is, and where: `elasticsearch clicks at http://127.0.0.1:9200`. */
  readonly name: string;
}

export class Delivery {
  readonly #name: string;
  readonly #report: SinkContext['report'];
  readonly #transport: Transport;
  readonly #settings: DeliverySettings;
  readonly #circuit: Circuit;
  readonly #refusals: Refusals;
  readonly #lanes: readonly Lane[];
  readonly #unsettled = new Set<Promise<void>>();
  readonly #abort = new AbortController();
  readonly #counts = { requests: 0, retries: 0, rows: 0, bytes: 0, refused: 0, inFlight: 0, seconds: 0 };
  #failure: unknown;
  /** A server that takes smaller requests has said so. */
  #requestBytes: number;

  constructor(transport: Transport, settings: DeliverySettings, { name, pipeline, signal, waiting, refused, report }: DeliveryContext) {
    this.#name = name;
    this.#report = report;
    this.#transport = transport;
    this.#settings = settings;
    this.#requestBytes = settings.requestBytes;
    const ends = (): void => this.#abort.abort(signal.reason);
    if (signal.aborted) ends();
    else signal.addEventListener('abort', ends, { once: true });
    this.#circuit = new Circuit({ name, patienceMs: settings.deliveryTimeoutMs, signal: this.#abort.signal, waiting });
    this.#refusals = new Refusals(name, pipeline, settings, refused, transport.textOf?.bind(transport));
    this.#lanes = Array.from({ length: settings.concurrency }, (_, number) => new Lane(number));
  }

  /** Resolves when every record of the block is stored or refused. Its bytes have to stay until then. */
  write(block: SinkBlock): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const queued = new QueuedBlock(block);
    const lane = this.#lanes[block.unit % this.#lanes.length] as Lane;
    lane.add(queued);
    this.#unsettled.add(queued.settled);
    const settled = (): void => void this.#unsettled.delete(queued.settled);
    queued.settled.then(settled, settled);
    if (!lane.isAtWork) {
      lane.isAtWork = true;
      // A turn later: blocks that are written together go together.
      queueMicrotask(() => void this.#work(lane));
    }
    return queued.settled;
  }

  /** Resolves when all that was written is stored or refused, and dead letters are on disk. */
  async settle(): Promise<void> {
    await Promise.all(this.#unsettled);
    if (this.#failure !== undefined) throw this.#failure;
    await this.#refusals.sync();
  }

  /** Rows that were stored, and turn out to be refused where they are to go on to. */
  async refuse(refusals: readonly Refusal[]): Promise<void> {
    await this.#refusals.add(refusals);
    this.#counts.refused += refusals.length;
    this.#counts.rows -= refusals.length;
    await this.#refusals.sync();
  }

  get counts(): SinkCounts {
    return { ...this.#counts, isWaiting: this.#circuit.isOpen };
  }

  /** What is under way is given up. */
  async close(): Promise<void> {
    this.#abort.abort(new MillraceError('ERR_MILLRACE_SINK', `${this.#name}: the sink is closed.`));
    await this.#transport.close?.();
    await this.#refusals.close();
  }

  async #work(lane: Lane): Promise<void> {
    try {
      while (!lane.isEmpty) {
        await this.#circuit.enter();
        const request = lane.take({ rows: this.#settings.requestRows, bytes: this.#requestBytes });
        try {
          await this.#try(lane, request);
        } catch (error) {
          // Its blocks are told of the failure with all others of the lane.
          lane.putBack(request.pending);
          throw error;
        }
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      lane.isAtWork = false;
    }
  }

  /** One attempt. What has to come again goes back into the lane. */
  async #try(lane: Lane, { records, pending }: LaneRequest): Promise<void> {
    let faults: readonly RecordFault[];
    try {
      faults = await this.#send(records);
    } catch (error) {
      if (error instanceof TooLarge || error instanceof Refused) {
        this.#circuit.succeeded();
        if (records.count > 1) {
          if (error instanceof TooLarge) this.#requestBytes = Math.max(1, Math.floor(records.byteLength / 2));
          else lane.halve(records.count);
          lane.putBack(pending);
        } else await this.#settle(pending, [{ record: 0, isRetriable: false, message: error.message }]);
        return;
      }
      if (!(error instanceof Unavailable)) throw error;
      this.#retries(records.count, error.message);
      lane.putBack(pending);
      this.#circuit.failed(error);
      return;
    }
    const busy = faults.filter((fault) => fault.isRetriable);
    if (busy.length > 0) {
      // In the order of the rows: those that come again go first.
      this.#retries(busy.length, (busy[0] as RecordFault).message);
      lane.putBack(
        busy
          .map(({ record }) => record)
          .sort((a, b) => a - b)
          .map((record) => pending[record] as Pending),
      );
    }
    await this.#settle(pending, faults);
    lane.widen();
    // What the server takes in part has answered: only where it took nothing is it an outage.
    if (busy.length > 0) this.#circuit.failed(new Unavailable((busy[0] as RecordFault).message));
    else this.#circuit.succeeded();
  }

  #retries(count: number, because: string): void {
    this.#counts.retries++;
    this.#report?.retried(`a request of ${count} rows`, because);
  }

  async #send(records: Records): Promise<readonly RecordFault[]> {
    const counts = this.#counts;
    const startedAt = performance.now();
    counts.requests++;
    counts.inFlight++;
    try {
      const faults = await withDeadline(this.#settings.requestTimeoutMs, this.#abort.signal, (signal) => this.#transport.send(records, signal));
      counts.bytes += records.byteLength;
      return faults;
    } finally {
      counts.inFlight--;
      counts.seconds += (performance.now() - startedAt) / 1_000;
    }
  }

  /** Tells the blocks of the records that are stored, and of those that are refused. */
  async #settle(pending: readonly Pending[], faults: readonly RecordFault[]): Promise<void> {
    const refused = faults.filter((fault) => !fault.isRetriable);
    await this.#refusals.add(
      refused.map(({ record, message }): Refusal => {
        const { of: block, bytes } = pending[record] as Pending;
        return { epoch: block.epoch, unit: block.unit, record: bytes, message };
      }),
    );
    this.#counts.refused += refused.length;
    this.#counts.rows += pending.length - faults.length;
    const open = new Set(faults.filter((fault) => fault.isRetriable).map(({ record }) => record));
    let block: QueuedBlock | undefined;
    let count = 0;
    pending.forEach(({ of: its }, record) => {
      if (its !== block) {
        if (count > 0) block?.settle(count);
        block = its;
        count = 0;
      }
      if (!open.has(record)) count++;
    });
    if (count > 0) block?.settle(count);
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#abort.abort(this.#failure);
    for (const lane of this.#lanes) lane.fail(this.#failure);
  }
}
