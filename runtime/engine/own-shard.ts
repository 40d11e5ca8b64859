/**
 * A shard that a worker owns: in memory, or put away on disk where memory has no room for it (state-budget.ts
 * decides which). What a shard that is put away has to say without being read is kept here: what it takes, and
 * until when it may sleep.
 */

import { type DueTimes, type ExchangeShard, NEVER_DUE } from '../../operators/index.ts';
import { type SpillStore, stateBytesOf, stateOfBytes } from '../state-log/index.ts';

export interface OwnShardParts {
  readonly exchange: number;
  readonly number: number;
  /** The epoch of the base that it was opened from, where there is a log of what came later. */
  readonly base: number | undefined;
  readonly shard: ExchangeShard;
  /** Opens it from what its snapshot gave. */
  readonly open: (from: unknown) => ExchangeShard;
}

export class OwnShard {
  readonly exchange: number;
  readonly number: number;
  readonly base: number | undefined;
  readonly #open: (from: unknown) => ExchangeShard;
  #shard: ExchangeShard | undefined;
  /** Where it lies while it is put away. */
  #store: SpillStore | undefined;
  /** Of a shard that is put away. */
  #due: DueTimes = NEVER_DUE;
  /** Bytes of state in memory, as last counted; of one that is put away: that it will take there. */
  bytes = 0;
  /** Of one that was put away: how much of that is in shared memory, about. */
  slabBytes = 0;
  /** Bytes on disk; 0: it is in memory. */
  bytesAway = 0;
  /** The last epoch that had something for it. */
  usedAt = Number.NEGATIVE_INFINITY;
  /** Its turn in the epoch that is being merged is still to come, and there will be something for it. */
  isAwaited = false;
  /** Its input has ended, and what was open is out. */
  hasEnded = false;

  constructor({ exchange, number, base, shard, open }: OwnShardParts) {
    this.exchange = exchange;
    this.number = number;
    this.base = base;
    this.#shard = shard;
    this.#open = open;
  }

  get isAway(): boolean {
    return this.#shard === undefined;
  }

  /** The shard in memory: read back where it was put away. */
  get shard(): ExchangeShard {
    return this.#shard ?? this.#readBack();
  }

  /** Whether something is due at the end of an epoch, though there are no blocks for it. */
  isDue(watermark: number, nowMs: number): boolean {
    const { time, clock } = this.#shard?.due ?? this.#due;
    return nowMs >= clock || (watermark >= time && time !== Number.POSITIVE_INFINITY && !this.hasEnded);
  }

  snapshot(): unknown {
    return this.#shard === undefined ? stateOfBytes(this.stateBytes()) : this.#shard.snapshot();
  }

  /** Its snapshot as bytes. Those of one that is put away are read, and not made anew. */
  stateBytes(): Uint8Array {
    return this.#shard === undefined ? (this.#store as SpillStore).read(this.exchange, this.number) : stateBytesOf(this.#shard.snapshot());
  }

  /** Writes it to the store, and frees its memory. It must be in memory. */
  putAway(store: SpillStore): void {
    const shard = this.#shard as ExchangeShard;
    const state = this.stateBytes();
    store.put(this.exchange, this.number, state);
    this.#store = store;
    this.#due = shard.due;
    this.bytesAway = state.length;
    this.#shard = undefined;
    shard.close();
  }

  #readBack(): ExchangeShard {
    const state = this.snapshot();
    this.#store?.drop(this.exchange, this.number);
    this.bytesAway = 0;
    this.#shard = this.#open(state);
    return this.#shard;
  }
}
