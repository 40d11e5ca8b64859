/**
 * The budget for the state of one worker: which of its shards are in memory. Where they take more than the
 * worker may hold, shards are put away on disk (own-shard.ts), and each is read back when there is something
 * for it. Before it is read, others make room; so the most that is in memory is the budget and one shard.
 *
 * Which one goes is the question of every cache. Within an epoch shards have their turns one after the other,
 * and of those whose turn is to come it is known whether there is something for them. So the first to go are
 * those that nothing came for, the coldest first. Then those that had their turn in this epoch, the last one
 * first: where each epoch has rows for all of them, the others stay, and only as many are read and written as
 * do not fit. (The one that is needed furthest in the future: Belady, "A study of replacement algorithms",
 * 1966. The least recently used one would be the next to be needed: every shard would be read in every epoch.)
 */

import type { SlabAllocator } from '../../core/index.ts';
import type { ExchangeShard } from '../../operators/index.ts';
import type { SpillStore } from '../state-log/index.ts';
import type { OwnShard } from './own-shard.ts';

export interface SpillPlace {
  /** What all workers together may hold, bytes. */
  readonly limitBytes: number;
  readonly store: SpillStore;
}

export class StateBudget {
  readonly #slabs: SlabAllocator;
  readonly #store: SpillStore;
  readonly #limitBytes: number;
  readonly #shareBytes: number;
  /** What the other workers hold. */
  readonly #others: () => number;
  /** In the order of their turns in an epoch. */
  readonly #shards: OwnShard[] = [];
  #allowed: number;
  #epoch = Number.NEGATIVE_INFINITY;
  /** Bytes of state that stays in memory, as others read it there. */
  #pinned = 0;
  /** Bytes in memory, of shards that may be put away. */
  #held = 0;
  bytesAway = 0;

  /** @param share of the limit that this worker may always use; more only where others leave it */
  constructor(slabs: SlabAllocator, { store, limitBytes }: SpillPlace, share: number, others: () => number) {
    this.#slabs = slabs;
    this.#store = store;
    this.#limitBytes = limitBytes;
    this.#shareBytes = limitBytes * share;
    this.#others = others;
    this.#allowed = this.#shareBytes;
  }

  /** Bytes in memory. */
  get bytes(): number {
    return this.#held + this.#pinned;
  }

  /** A shard was opened. Shards come in the order of their turns. */
  add(own: OwnShard): void {
    this.#shards.push(own);
    this.#count(own);
    this.#makeRoom(0, undefined);
  }

  /** @param pinnedBytes of state that cannot be put away */
  beginEpoch(epoch: number, pinnedBytes: number): void {
    this.#pinned = pinnedBytes;
    this.#allowed = Math.max(this.#shareBytes, this.#limitBytes - this.#others()) - pinnedBytes;
    this.#epoch = epoch;
    // What is not known yet is taken to be as in the epoch before.
    for (const own of this.#shards) own.isAwaited = own.usedAt >= epoch - 1;
  }

  /** A shard for its turn: in memory. */
  take(own: OwnShard): ExchangeShard {
    if (!own.isAway) return own.shard;
    this.#makeRoom(own.bytes, own);
    this.#makeSlabRoom(own);
    this.bytesAway -= own.bytesAway;
    const { shard } = own;
    this.#held += own.bytes;
    return shard;
  }

  /**
   * Its turn is over.
   *
   * @param isUsed there was something for it, so that its size may have changed
   */
  leave(own: OwnShard, isUsed: boolean): void {
    own.isAwaited = false;
    if (!isUsed) return;
    own.usedAt = this.#epoch;
    this.#held -= own.bytes;
    this.#count(own);
    this.#makeRoom(0, undefined);
  }

  #count(own: OwnShard): void {
    const { shard } = own;
    own.bytes = shard.stateBytes + (shard.spareBytes ?? 0);
    this.#held += own.bytes;
  }

  /** Puts shards away until there is room for as many bytes, or nothing more can go. */
  #makeRoom(bytes: number, except: OwnShard | undefined): void {
    while (this.#held + bytes > this.#allowed) {
      const own = this.#next(except);
      if (own === undefined) return;
      this.#putAway(own);
    }
  }

  /**
   * A table that grows needs a slab of twice its size for a while. Where the memory is in small pieces there may
   * be none, though there is room: others go until there is, or going no longer helps.
   */
  #makeSlabRoom(own: OwnShard): void {
    if (own.slabBytes === 0) return;
    for (;;) {
      const slab = this.#slabs.tryAlloc(own.slabBytes * 2);
      if (slab !== 0) {
        this.#slabs.free(slab);
        return;
      }
      const other = this.#next(own);
      if (other === undefined) return;
      this.#putAway(other);
      if (other.slabBytes === 0) return;
    }
  }

  #putAway(own: OwnShard): void {
    const before = this.#slabs.usage().usedBytes;
    own.putAway(this.#store);
    // Other threads take and free slabs meanwhile: about.
    own.slabBytes = Math.min(own.bytes, Math.max(0, before - this.#slabs.usage().usedBytes));
    this.#held -= own.bytes;
    this.bytesAway += own.bytesAway;
  }

  /** The shard that goes next; undefined: none has anything in memory. */
  #next(except: OwnShard | undefined): OwnShard | undefined {
    let cold: OwnShard | undefined;
    let done: OwnShard | undefined;
    let awaited: OwnShard | undefined;
    for (const own of this.#shards) {
      if (own === except || own.isAway || own.bytes === 0) continue;
      if (own.isAwaited) awaited = own;
      else if (own.usedAt === this.#epoch) done = own;
      else if (cold === undefined || own.usedAt < cold.usedAt) cold = own;
    }
    return cold ?? done ?? awaited;
  }
}
