/**
 * The oracle: from the rows of the input topic it computes the only right output, in plain loops, and counts what the
 * output topics have less or more. While rows come it watches that those of one transaction come together: `copy` and
 * `numbers` have a row for the same input in the same epoch, and numbers of a key have no gap.
 */

import { GAP, type Output, type Row, SLIDING, TUMBLING } from './pipeline.ts';

type Out = Readonly<Record<string, number | string>>;

/** The markers of a transaction reach all partitions, and the reader all rows, within this. */
const TOGETHER_MS = 8_000;

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
  /** By input row that only one of the two has: since when. */
  readonly #alone = new Map<number, { readonly of: Output; readonly sinceMs: number }>();
  readonly #together = new Set<number>();
  /** By key: the highest number up to which there is no gap, and since when those behind a gap are there. */
  readonly #numbers = new Map<string, { whole: number; readonly behind: Map<number, number> }>();
  readonly #torn = new Set<string>();
  readonly examples: string[] = [];

  input(row: Row): void {
    this.#rows.push(row);
  }

  get rows(): number {
    return this.#rows.length;
  }

  output(of: Output, row: Out, nowMs: number): void {
    const known = this.#outputs.get(of) ?? new Map<string, number>();
    this.#outputs.set(of, known);
    const text = textOf(row);
    known.set(text, (known.get(text) ?? 0) + 1);
    if (of === 'copy' || of === 'numbers') this.#meet(of, row['id'] as number, nowMs);
    if (of === 'numbers') this.#count(row['key'] as string, row['number'] as number, nowMs);
  }

  /** Looks for transactions of which a reader sees a part, and goes on seeing no more. */
  watch(nowMs: number): void {
    for (const [id, { of, sinceMs }] of this.#alone) if (nowMs - sinceMs > TOGETHER_MS) this.#tear(`row ${id}: only ${of} has it`);
    for (const [key, { whole, behind }] of this.#numbers) {
      const since = Math.min(...behind.values());
      if (nowMs - since > TOGETHER_MS) this.#tear(`numbers of ${key}: ${whole + 1} is not there, and later ones are`);
    }
  }

  /** The brokers were away: what is to be seen together may have come apart for longer. */
  forgive(nowMs: number): void {
    for (const [id, one] of this.#alone) this.#alone.set(id, { ...one, sinceMs: nowMs });
    for (const { behind } of this.#numbers.values()) for (const number of behind.keys()) behind.set(number, nowMs);
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
    return { rows: rows.length, ...counts, torn: this.#torn.size, examples: this.examples };
  }

  #meet(of: Output, id: number, nowMs: number): void {
    if (this.#together.has(id)) return;
    const other = this.#alone.get(id);
    if (other === undefined) this.#alone.set(id, { of, sinceMs: nowMs });
    else if (other.of !== of) {
      this.#alone.delete(id);
      this.#together.add(id);
    }
  }

  #count(key: string, number: number, nowMs: number): void {
    const known = this.#numbers.get(key) ?? { whole: 0, behind: new Map<number, number>() };
    this.#numbers.set(key, known);
    if (number > known.whole) known.behind.set(number, nowMs);
    while (known.behind.delete(known.whole + 1)) known.whole++;
  }

  #tear(what: string): void {
    if (this.#torn.has(what)) return;
    this.#torn.add(what);
    this.#note(`torn: ${what}`);
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
