/** Shards that are put away, in memory: as bytes, as on disk. */

import { MillraceError } from '../../core/index.ts';
import type { SpillStore } from '../state-log/index.ts';

export class KeptShards implements SpillStore {
  readonly #states = new Map<string, Uint8Array>();

  put(exchange: number, shard: number, state: Uint8Array): void {
    this.#states.set(`${exchange}.${shard}`, state);
  }

  read(exchange: number, shard: number): Uint8Array {
    const state = this.#states.get(`${exchange}.${shard}`);
    if (state === undefined) throw new MillraceError('ERR_MILLRACE_SPILL', `Shard ${shard} of exchange ${exchange} was not put away.`);
    return state;
  }

  drop(exchange: number, shard: number): void {
    this.#states.delete(`${exchange}.${shard}`);
  }
}
