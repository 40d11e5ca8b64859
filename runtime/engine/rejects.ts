/**
 * Rejects: what the decoders refuse. It is counted, sampled, and goes to the flows that take the errors of
 * its source. What fails later, in a row function, is up to flows.ts.
 */

import type { SlabAllocator } from '../../core/index.ts';
import type { Rejection } from '../../io/index.ts';
import { ErrorRows } from '../plan/index.ts';
import { type LedgerSample, OF_SOURCE, type WorkerBalance } from '../shared/index.ts';
import type { Flow } from './flow.ts';
import type { Place } from './place.ts';

const SAMPLES_A_REASON = 10;

export class Rejects {
  readonly #place: Place;
  readonly #balance: WorkerBalance;
  readonly #takers: (readonly Flow[])[];
  readonly #sample: (sample: LedgerSample) => void;
  readonly #rows: ErrorRows;
  /** By reason: how many samples were given. */
  readonly #sampled = new Map<string, number>();

  /** @param takers by source: the flows that take what cannot be decoded */
  constructor(slabs: SlabAllocator, place: Place, balance: WorkerBalance, takers: (readonly Flow[])[], sample: (sample: LedgerSample) => void) {
    this.#place = place;
    this.#balance = balance;
    this.#takers = takers;
    this.#sample = sample;
    this.#rows = new ErrorRows(slabs);
  }

  /** Takes what a decoder of the chunk that is being scanned refuses. */
  take(rejection: Rejection): void {
    const place = this.#place;
    const { reason, rows } = rejection;
    place.count(reason, rows);
    // What never came in is no row of the epoch: no frame announced it, and no flow takes it.
    if (reason === 'lost') {
      this.#show(rejection);
      return;
    }
    this.#balance.ofSource(place.source, reason === 'corrupt' ? OF_SOURCE.corrupt : OF_SOURCE.refused, rows);
    if (reason === 'control') return;
    place.count('rowsIn', rows);
    this.#pass(rejection);
    this.#show(rejection);
  }

  /** The first ones of each reason become samples of the ledger. */
  #show({ reason, offset, rows, message }: Rejection): void {
    const given = this.#sampled.get(reason) ?? 0;
    if (given >= SAMPLES_A_REASON) return;
    this.#sampled.set(reason, given + 1);
    this.#sample({ reason, source: this.#place.sourceName, partition: this.#place.partition, offset, rows, message });
  }

  /** Passes it to the flows that take the errors of the source. */
  #pass({ reason, offset, message, sample }: Rejection): void {
    const takers = this.#takers[this.#place.source] as readonly Flow[];
    if (takers.length === 0) return;
    const { sourceName, partition } = this.#place;
    const batch = this.#rows.batchOf({
      source: sourceName,
      partition,
      offset,
      operator: 'decode',
      message: `${reason}: ${message}`,
      row: '',
      bytes: sample ?? null,
    });
    for (const flow of takers) flow.run(batch);
  }
}
