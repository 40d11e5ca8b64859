/** What readers of a sink may see, by the rows that were written, prepared and decided. */

import type { Delivery } from '../../io/index.ts';

export interface ConformanceRow {
  readonly unit: number;
  /** Counts the rows of a unit. */
  readonly seq: number;
  /** After a restart rows behind the checkpoint come again, as those of another attempt. */
  readonly attempt: number;
  readonly text: string;
}

export class SinkModel {
  static readonly RULES = [
    'what is not committed is not visible',
    'what was committed stays',
    'commit makes visible what was prepared',
    'a second commit changes nothing',
    'recover makes visible what was decided, and drops the rest',
    'an epoch that comes again doubles nothing',
    'rows of a unit keep their order',
    'of two writers at most one can make rows visible',
  ] as const;

  readonly #delivery: Delivery;
  readonly #isOrdered: boolean;
  /** How often each rule was looked at. */
  readonly held = new Map<Rule, number>();
  /** Everything that was ever given to the sink: texts by row. */
  readonly #written = new Map<string, string>();
  /** Rows of the checkpoints that were decided. */
  #decided: readonly ConformanceRow[] = [];
  /** Rows behind them. */
  #pending: ConformanceRow[] = [];

  constructor(delivery: Delivery, isOrdered: boolean) {
    this.#delivery = delivery;
    this.#isOrdered = isOrdered;
  }

  get rowCount(): number {
    return this.#decided.length;
  }

  get isExact(): boolean {
    return this.#delivery === 'transactional' || this.#delivery === 'replayed by epoch';
  }

  /** Rows that are given to the sink, by a writer that counts or by one that was shut out. */
  write(rows: readonly ConformanceRow[], counts = true): void {
    for (const row of rows) this.#written.set(keyOf(row), row.text);
    if (counts) this.#pending.push(...rows);
  }

  /** Everything that is pending belongs to a checkpoint that counts. */
  decide(): void {
    this.#decided = [...this.#decided, ...this.#pending];
    this.#pending = [];
  }

  /** The process is gone, and what was not decided with it. */
  drop(): void {
    this.#pending = [];
  }

  /** The first row of each unit that is not decided. */
  nextOf(unit: number): number {
    return this.#decided.filter((row) => row.unit === unit).length;
  }

  /**
   * Compares what readers see with what they may see.
   *
   * @param visible rows that they must see
   * @throws Error that says which rule is broken, and by which row
   */
  check(rule: Rule, seen: readonly ConformanceRow[], visible: readonly ConformanceRow[]): void {
    const broken = this.isExact ? this.#exactly(seen, visible) : this.#atLeast(seen, visible);
    if (broken !== undefined) throw new Error(`${rule}, but ${broken}.`);
    this.held.set(rule, (this.held.get(rule) ?? 0) + 1);
    if (this.#isOrdered && this.isExact) this.held.set(ORDER, (this.held.get(ORDER) ?? 0) + 1);
    if (this.#delivery !== 'at-least-once') this.held.set(ONCE, (this.held.get(ONCE) ?? 0) + 1);
  }

  get decided(): readonly ConformanceRow[] {
    return this.#decided;
  }

  #exactly(seen: readonly ConformanceRow[], visible: readonly ConformanceRow[]): string | undefined {
    const wanted = new Set(visible.map(keyOf));
    const found = new Set<string>();
    for (const row of seen) {
      const key = keyOf(row);
      if (found.has(key)) return `${named(row)} is visible twice`;
      found.add(key);
      if (!wanted.has(key)) return `${named(row)} is visible, and must not be`;
      if (row.text !== this.#written.get(key)) return `${named(row)} has another text than what was written`;
    }
    for (const row of visible) if (!found.has(keyOf(row))) return `${named(row)} is not visible`;
    return this.#isOrdered ? outOfOrder(seen) : undefined;
  }

  #atLeast(seen: readonly ConformanceRow[], visible: readonly ConformanceRow[]): string | undefined {
    const found = new Set<string>();
    for (const row of seen) {
      if (row.text !== this.#written.get(keyOf(row))) return `${named(row)} is visible, and was never written like that`;
      const place = `${row.unit} ${row.seq}`;
      if (this.#delivery === 'idempotent' && found.has(place)) return `${named(row)} is visible twice`;
      found.add(place);
    }
    for (const row of visible) if (!found.has(`${row.unit} ${row.seq}`)) return `${named(row)} is not visible`;
    return undefined;
  }
}

export type Rule = (typeof SinkModel.RULES)[number];
const ONCE: Rule = 'an epoch that comes again doubles nothing';
const ORDER: Rule = 'rows of a unit keep their order';

function outOfOrder(seen: readonly ConformanceRow[]): string | undefined {
  const last = new Map<number, number>();
  for (const row of seen) {
    if (row.seq <= (last.get(row.unit) ?? -1)) return `${named(row)} comes behind row ${last.get(row.unit)} of its unit`;
    last.set(row.unit, row.seq);
  }
  return undefined;
}

function keyOf({ unit, seq, attempt }: ConformanceRow): string {
  return `${unit} ${seq} ${attempt}`;
}

function named({ unit, seq, attempt }: ConformanceRow): string {
  return `row ${seq} of unit ${unit} (attempt ${attempt})`;
}
