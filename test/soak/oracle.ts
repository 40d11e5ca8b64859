/**
 * The oracle: from the rows of the input topic it computes the only right output, in plain loops, and counts what the
 * output topics have less or more. And it says whether rows of one transaction were visible together, at every moment
 * at which the brokers were asked how far a read_committed reader may read: `copy` and `numbers` have a row for the
 * same input in the same epoch, and no number of a key comes before those below it. When its own reader has read a row
 * makes no difference to that.
 */

import { GAP, type Output, type Row, SLIDING, TUMBLING } from './pipeline.ts';

type Out = Readonly<Record<string, number | string>>;

/** The markers of a transaction reach all partitions within this. */
const TOGETHER_MS = 5_000;

/** How far a read_committed reader may read, by topic and partition. */
export interface Snapshot {
  /** Before the brokers were asked, and behind their last answer. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly ends: ReadonlyMap<string, number>;
}

interface Visible {
  readonly place: string;
  readonly offset: number;
}

export interface Verdict {
  readonly rows: number;
  readonly lost: number;
  readonly duplicated: number;
  /** Rows that no model has: sums that are wrong. */
  readonly wrong: number;
  readonly torn: number;
  /** The first few, for a person. */
  readonly examples: readonly string[];
}

interface Counts {
  lost: number;
  duplicated: number;
  wrong: number;
}

export class Oracle {
  readonly #rows: Row[] = [];
  readonly #outputs = new Map<Output, Map<string, number>>();
  /** By input row, and by key and number: where their rows are. */
  readonly #copies = new Map<number, Visible>();
  readonly #numbered = new Map<number, Visible>();
  readonly #numbers = new Map<string, Map<number, Visible>>();
  readonly #snapshots: Snapshot[] = [];
  /** Brokers were away, or had just come back. */
  readonly #outages: { readonly fromMs: number; toMs: number }[] = [];
  readonly examples: string[] = [];

  input(row: Row): void {
    this.#rows.push(row);
  }

  get rows(): number {
    return this.#rows.length;
  }

  output(of: Output, row: Out, partition: number, offset: number): void {
    const known = this.#outputs.get(of) ?? new Map<string, number>();
    this.#outputs.set(of, known);
    const text = textOf(row);
    known.set(text, (known.get(text) ?? 0) + 1);
    const visible = { place: `${of} ${partition}`, offset };
    const id = row['id'] as number;
    // Of what comes twice the first counts here.
    if (of === 'copy' && !this.#copies.has(id)) this.#copies.set(id, visible);
    if (of !== 'numbers') return;
    if (!this.#numbered.has(id)) this.#numbered.set(id, visible);
    const key = row['key'] as string;
    const numbers = this.#numbers.get(key) ?? new Map<number, Visible>();
    this.#numbers.set(key, numbers);
    if (!numbers.has(row['number'] as number)) numbers.set(row['number'] as number, visible);
  }

  snapshot(snapshot: Snapshot): void {
    this.#snapshots.push(snapshot);
  }

  /** Brokers are away from here on; `back`: until here. What should be seen together may come apart for longer. */
  outage(fromMs: number): { back(toMs: number): void } {
    const outage = { fromMs, toMs: Number.POSITIVE_INFINITY };
    this.#outages.push(outage);
    return {
      back(toMs) {
        outage.toMs = toMs;
      },
    };
  }

  verdict(): Verdict {
    const counts: Counts = { lost: 0, duplicated: 0, wrong: 0 };
    const rows = this.#rows;
    const byKey = grouped(rows);
    this.#compare(
      counts,
      'copy',
      rows.map(({ id, n }) => ({ id, twice: 2 * n })),
    );
    const windows = [...byKey].flatMap(([key, of]) => windowsOf(of).map((window): Out => ({ key, ...window })));
    this.#compare(counts, 'windows', windows);
    this.#compare(counts, 'totals', totalsOf(windows));
    this.#compare(
      counts,
      'sessions',
      [...byKey].flatMap(([key, of]) => sessionsOf(of).map((one): Out => ({ key, ...one }))),
    );
    this.#compareNumbers(counts, byKey);
    this.#compareCounts(counts, byKey);
    return { rows: rows.length, ...counts, torn: this.#torn(), examples: this.examples };
  }

  /** Rows that were to be seen for long, while others of their transaction were not. */
  #torn(): number {
    let torn = 0;
    const compare = (one: Visible, other: Visible, what: string): void => {
      if (!this.#cameApart(one, other)) return;
      torn++;
      this.#note(`torn: ${what}`);
    };
    for (const [id, copy] of this.#copies) {
      const numbered = this.#numbered.get(id);
      if (numbered !== undefined) compare(copy, numbered, `row ${id}`);
    }
    for (const [key, numbers] of this.#numbers) {
      for (const [number, visible] of numbers) {
        const below = numbers.get(number - 1);
        // That the lower one comes first is as it should be.
        if (below !== undefined && this.#firstSeen(below) > this.#firstSeen(visible)) compare(below, visible, `numbers ${number - 1} and ${number} of ${key}`);
      }
    }
    return torn;
  }

  #cameApart(one: Visible, other: Visible): boolean {
    const [first, second] = [this.#firstSeen(one), this.#firstSeen(other)].sort((a, b) => a - b) as [number, number];
    if (first === second) return false;
    const seen = this.#snapshots[first]?.toMs ?? Number.POSITIVE_INFINITY;
    const missing = this.#snapshots[second - 1]?.fromMs ?? Number.NEGATIVE_INFINITY;
    return missing - seen > TOGETHER_MS && !this.#outages.some(({ fromMs, toMs }) => fromMs < missing && toMs > seen);
  }

  /** The place of the first snapshot in which a row can be seen. */
  #firstSeen({ place, offset }: Visible): number {
    let [low, high] = [0, this.#snapshots.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (((this.#snapshots[middle] as Snapshot).ends.get(place) ?? 0) > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #note(what: string): void {
    if (this.examples.length < 10) this.examples.push(what);
  }

  #of(name: Output): ReadonlyMap<string, number> {
    return this.#outputs.get(name) ?? new Map();
  }

  #compare(counts: Counts, name: Output, expected: readonly Out[]): void {
    const left = new Map<string, number>();
    for (const row of expected) {
      const text = textOf(row);
      left.set(text, (left.get(text) ?? 0) + 1);
    }
    for (const [text, times] of this.#of(name)) {
      const wanted = left.get(text);
      left.set(text, Math.max(0, (wanted ?? 0) - times));
      if (wanted === undefined) {
        counts.wrong += times;
        this.#note(`${name}: wrong ${text}`);
      } else if (times > wanted) {
        counts.duplicated += times - wanted;
        this.#note(`${name}: ${times} times ${text}`);
      }
    }
    for (const [text, times] of left) {
      counts.lost += times;
      if (times > 0) this.#note(`${name}: lost ${text}`);
    }
  }

  /** Which row of a key gets which number is up to the order of partitions; each number and each row is there once. */
  #compareNumbers(counts: Counts, byKey: ReadonlyMap<string, readonly Row[]>): void {
    const numbers = new Map<string, number>();
    const ids = new Map<string, number>();
    for (const [text, times] of this.#of('numbers')) {
      const { key, number, id } = rowOf(text);
      for (const [map, name] of [
        [numbers, `${key} ${number}`],
        [ids, `${key} ${id}`],
      ] as const)
        map.set(name, (map.get(name) ?? 0) + times);
    }
    const wanted = [...byKey].flatMap(([key, of]) => of.map((row, i) => [`${key} ${i + 1}`, `${key} ${row.id}`] as const));
    this.#once(
      counts,
      'numbers',
      numbers,
      wanted.map(([number]) => number),
    );
    this.#once(
      counts,
      'numbers, by row',
      ids,
      wanted.map(([, id]) => id),
    );
  }

  #once(counts: Counts, what: string, came: Map<string, number>, wanted: readonly string[]): void {
    for (const name of wanted) {
      const times = came.get(name) ?? 0;
      came.delete(name);
      if (times === 1) continue;
      if (times === 0) counts.lost++;
      else counts.duplicated += times - 1;
      this.#note(`${what}: ${times} times ${name}`);
    }
    for (const [name, times] of came) {
      counts.wrong += times;
      this.#note(`${what}: wrong ${name}`);
    }
  }

  /** How many updates a running aggregate gives is up to where epochs end; none comes twice, and the last has all rows. */
  #compareCounts(counts: Counts, byKey: ReadonlyMap<string, readonly Row[]>): void {
    const updates = new Map<string, Map<number, { times: number; n: number }>>();
    for (const [text, times] of this.#of('counts')) {
      const { key, rows, n } = rowOf(text) as { key: string; rows: number; n: number };
      const ofKey = updates.get(key) ?? new Map();
      updates.set(key, ofKey);
      ofKey.set(rows, { times: (ofKey.get(rows)?.times ?? 0) + times, n });
    }
    for (const [key, of] of byKey) {
      const ofKey = updates.get(key) ?? new Map<number, { times: number; n: number }>();
      for (const [rows, { times }] of ofKey) {
        if (times > 1) counts.duplicated += times - 1;
        if (rows > of.length) counts.wrong++;
        if (times > 1 || rows > of.length) this.#note(`counts: ${times} times ${key} with ${rows} of ${of.length} rows`);
      }
      const last = ofKey.get(of.length);
      if (last === undefined) counts.lost++;
      else if (last.n !== total(of)) counts.wrong++;
      if (last?.n !== total(of)) this.#note(`counts: ${key} ends with ${last?.n} of ${of.length} rows, not ${total(of)}`);
    }
  }
}

function grouped(rows: readonly Row[]): Map<string, Row[]> {
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    const of = groups.get(row.key);
    if (of === undefined) groups.set(row.key, [row]);
    else of.push(row);
  }
  return groups;
}

const total = (rows: readonly Row[]): number => rows.reduce((sum, { n }) => sum + n, 0);

function windowsOf(rows: readonly Row[]): { windowStart: number; windowEnd: number; rows: number; n: number }[] {
  const found = new Map<number, { rows: number; n: number }>();
  for (const { at, n } of rows) {
    for (let start = Math.floor(at / SLIDING.slide) * SLIDING.slide; start > at - SLIDING.size; start -= SLIDING.slide) {
      const known = found.get(start) ?? { rows: 0, n: 0 };
      found.set(start, { rows: known.rows + 1, n: known.n + n });
    }
  }
  return [...found].map(([start, sums]) => ({ windowStart: start, windowEnd: start + SLIDING.size, ...sums }));
}

function totalsOf(windows: readonly Out[]): Out[] {
  const found = new Map<number, { windows: number; n: number }>();
  for (const { windowEnd, n } of windows) {
    // A result happened at the last moment of its window.
    const start = Math.floor(((windowEnd as number) - 1) / TUMBLING) * TUMBLING;
    const known = found.get(start) ?? { windows: 0, n: 0 };
    found.set(start, { windows: known.windows + 1, n: known.n + (n as number) });
  }
  return [...found].map(([start, sums]) => ({ windowStart: start, windowEnd: start + TUMBLING, ...sums }));
}

function sessionsOf(rows: readonly Row[]): { windowStart: number; windowEnd: number; rows: number; n: number }[] {
  const found: { windowStart: number; windowEnd: number; rows: number; n: number }[] = [];
  for (const { at, n } of rows.toSorted((a, b) => a.at - b.at)) {
    const open = found.at(-1);
    if (open === undefined || at > open.windowEnd) found.push({ windowStart: at, windowEnd: at + GAP, rows: 1, n });
    else Object.assign(open, { windowEnd: at + GAP, rows: open.rows + 1, n: open.n + n });
  }
  return found;
}

const textOf = (row: Out): string => JSON.stringify(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1)));
const rowOf = (text: string): Out => Object.fromEntries(JSON.parse(text)) as Out;
