/** Which node owns a partition: ranges of tokens, by the upper half of their ends. */

import type { Client, TokenRange } from './driver.ts';

/** Where rows go together: one node. */
export interface Owner {
  /** Any token that it owns: the driver sends there what has it as its routing key. */
  readonly routingKey: unknown;
}

const EVERYONE: Owner = { routingKey: undefined };

export class Ring {
  readonly #client: Client;
  readonly #keyspace: string;
  #ends = new Int32Array(0);
  #owners: readonly Owner[] = [EVERYONE];
  #isStale = true;

  constructor(client: Client, keyspace: string) {
    this.#client = client;
    this.#keyspace = keyspace;
    for (const event of ['hostAdd', 'hostRemove', 'hostUp', 'hostDown']) client.on(event, () => (this.#isStale = true));
  }

  /** @param token the upper half of one */
  ownerOf(token: number): Owner {
    if (this.#isStale) this.#read();
    const ends = this.#ends;
    let from = 0;
    let to = ends.length;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if ((ends[middle] as number) < token) from = middle + 1;
      else to = middle;
    }
    // Behind the last end the ring begins again.
    return this.#owners[from % this.#owners.length] as Owner;
  }

  #read(): void {
    this.#isStale = false;
    const { metadata } = this.#client;
    const ranges = [...metadata.getTokenRanges()].map((range) => ({ range, end: upperHalf(range) }));
    if (ranges.length < 2 || ranges.some(({ end }) => end === undefined)) {
      this.#ends = new Int32Array(0);
      this.#owners = [EVERYONE];
      return;
    }
    ranges.sort((one, other) => (one.end as number) - (other.end as number));
    const byAddress = new Map<string, Owner>();
    this.#ends = Int32Array.from(ranges, ({ end }) => end as number);
    this.#owners = ranges.map(({ range }) => {
      const address = metadata.getReplicas(this.#keyspace, range)?.[0]?.address ?? '';
      const owner = byAddress.get(address) ?? { routingKey: range.end };
      byAddress.set(address, owner);
      return owner;
    });
  }
}

/** Undefined for the tokens of another partitioner. */
function upperHalf({ end }: TokenRange): number | undefined {
  try {
    return Number(BigInt.asIntN(32, BigInt(String(end)) >> 32n));
  } catch {
    return undefined;
  }
}
