/**
 * Join of two tables, kept up as rows of either side are replaced and go: by their keys, or by a column of one
 * that is the key of the other. At the end of each epoch the rows of the result that are others now come out
 * as changes. Equal rows of a side count each. A key that is null equals none.
 */

import { type Batch, readValue, withSign } from '../../core/index.ts';
import { NEVER_DUE, named, type StateRow } from '../exchange/index.ts';
import { isKept, type JoinColumns, type JoinSide, type JoinType, joinColumns } from '../join/index.ts';
import { type DueTimes, type KeyedContext, type KeyedOperator, type KeyedOperatorPlan, roughBytes } from '../keyed/index.ts';
import { ChangeReader, changesInput, neverThere, textOf } from './change-rows.ts';
import { NetChanges } from './net-changes.ts';

export interface TablesJoinRequest {
  /** Both without the hidden column, which the rows have as their last. */
  readonly left: JoinSide;
  readonly right: JoinSide;
  readonly type: JoinType;
  readonly suffix: string;
  /** Columns of the result by which a new row replaces an old one; undefined: by all. */
  keyOf(columns: JoinColumns): readonly string[] | undefined;
}

/** @throws MillraceError as joinColumns */
export function planTablesJoin(request: TablesJoinRequest): KeyedOperatorPlan {
  const { left, right, type } = request;
  const columns = joinColumns(left, right, type, request.suffix, []);
  const key = (request.keyOf(columns) ?? columns.output.fields.map(({ name }) => name)).map((name) => columns.output.indexOf(name));
  const sides = [left, right].map(({ schema, keys }) => changesInput(withSign(schema), keys));
  return {
    name: 'tables join',
    inputs: sides,
    output: withSign(columns.output),
    outputTime: undefined,
    lateBefore: () => Number.NEGATIVE_INFINITY,
    heldUntil: () => Number.POSITIVE_INFINITY,
    state: { format: 1, facts: { type } },
    open: (context, from) =>
      new TablesJoin(
        columns,
        key,
        sides.map(({ schema }) => new ChangeReader(schema)),
        context,
        from as Snapshot | undefined,
      ),
    whole: 'rows are joined with rows',
    describe: () =>
      `${type} join of two tables by ${left.keys.join(', ')}${left.keys.join() === right.keys.join() ? '' : ` = ${right.keys.join(', ')}`}\n  tables    the rows of both are held; results that change come out: the old one, taken back, then the new one`,
  };
}

interface HeldRow {
  readonly values: readonly unknown[];
  times: number;
}

/** The rows of one key, by their texts. */
interface Group {
  readonly key: readonly unknown[];
  readonly sides: readonly [Map<string, HeldRow>, Map<string, HeldRow>];
  /** What came and went in this epoch. */
  readonly changes: readonly [NetChanges, NetChanges];
}

interface HeldGroup {
  readonly id: string;
  readonly key: readonly unknown[];
  readonly sides: readonly (readonly (readonly [values: readonly unknown[], times: number])[])[];
}

interface Snapshot {
  readonly groups: readonly HeldGroup[];
}

class TablesJoin implements KeyedOperator {
  readonly #columns: JoinColumns;
  readonly #readers: readonly ChangeReader[];
  readonly #context: KeyedContext;
  readonly #results: NetChanges;
  readonly #width: number;
  readonly #groups = new Map<string, Group>();
  readonly #touched = new Map<string, Group>();

  constructor(columns: JoinColumns, key: readonly number[], readers: readonly ChangeReader[], context: KeyedContext, from: Snapshot | undefined) {
    this.#columns = columns;
    this.#readers = readers;
    this.#context = context;
    this.#results = new NetChanges(key);
    this.#width = columns.output.length;
    for (const { id, key: of, sides } of from?.groups ?? []) {
      const group = newGroup(of);
      sides.forEach((rows, side) => {
        for (const [values, times] of rows) group.sides[side as 0 | 1].set(textOf(values), { values, times });
      });
      this.#groups.set(id, group);
    }
  }

  get stateBytes(): number {
    let bytes = 0;
    let looked = 0;
    for (const { key, sides } of this.#groups.values()) {
      if (looked++ === 100) break;
      bytes += 400 + roughBytes(key);
      for (const rows of sides) {
        const [first] = rows.values();
        if (first !== undefined) bytes += rows.size * (120 + 2 * roughBytes(first.values, 2));
      }
    }
    return Math.round(this.#groups.size <= 100 ? bytes : bytes * (this.#groups.size / 100));
  }

  get due(): DueTimes {
    return NEVER_DUE;
  }

  onBatch(rows: Batch, input: number): void {
    const { keys, values } = this.#columns.sides[input as 0 | 1];
    const reader = this.#readers[input] as ChangeReader;
    const valuesOf = (columns: readonly number[], row: number) => columns.map((c) => readValue(rows.memory, rows.column(c), row));
    for (let row = 0; row < rows.rowCount; row++) {
      // Keys are equal where these are: 0 is -0.
      const key = valuesOf(keys, row).map((value) => (value === 0 ? 0 : value));
      // Rows without a key meet none of the other side.
      const id = `${key.includes(null) ? `${input}!` : ''}${textOf(key)}`;
      let group = this.#groups.get(id);
      if (group === undefined) this.#groups.set(id, (group = newGroup(key)));
      this.#touched.set(id, group);
      group.changes[input as 0 | 1].add(valuesOf(values, row), reader.isRetraction(rows, row) ? -1 : 1);
    }
  }

  onWatermark(): void {
    for (const [id, group] of this.#touched) {
      this.#settle(group);
      if (group.sides[0].size === 0 && group.sides[1].size === 0) this.#groups.delete(id);
      this.#results.putOut(this.#context.output);
    }
    this.#touched.clear();
  }

  snapshot(): Snapshot {
    return {
      groups: Array.from(this.#groups, ([id, { key, sides }]) => ({
        id,
        key,
        sides: sides.map((rows) => Array.from(rows.values(), ({ values, times }) => [values, times] as const)),
      })),
    };
  }

  *stateRows(): Generator<StateRow> {
    const { sides, keysTo, output } = this.#columns;
    const keyNames = keysTo.map((to) => output.field(to).name);
    for (const group of this.#groups.values()) {
      for (const input of [0, 1] as const) {
        const { schema } = this.#readers[input] as ChangeReader;
        const names = sides[input].values.map((c) => schema.field(c).name);
        for (const { values, times } of group.sides[input].values()) {
          yield { key: named(keyNames, group.key), side: input === 0 ? 'left' : 'right', ...(times > 1 ? { times } : {}), value: named(names, values) };
        }
      }
    }
  }

  /** What the changes of the epoch make of the result of one key. */
  #settle({ key, sides, changes }: Group): void {
    const [left, right] = sides;
    const [leftChanges, rightChanges] = changes.map((of) => [...of.rows()]) as [HeldRow[], HeldRow[]];
    const had = [left.size > 0, right.size > 0] as const;
    for (const { values, times } of leftChanges) for (const other of right.values()) this.#add(key, values, other.values, times * other.times);
    apply(left, leftChanges);
    for (const { values, times } of rightChanges) for (const other of left.values()) this.#add(key, other.values, values, times * other.times);
    apply(right, rightChanges);
    this.#unmatched(0, key, left, leftChanges, had[1], right.size > 0);
    this.#unmatched(1, key, right, rightChanges, had[0], left.size > 0);
    for (const side of changes) side.clear();
  }

  /** Rows of a side that stand alone while the other side has none. */
  #unmatched(
    side: 0 | 1,
    key: readonly unknown[],
    rows: ReadonlyMap<string, HeldRow>,
    changed: readonly HeldRow[],
    hadOther: boolean,
    hasOther: boolean,
  ): void {
    if (!isKept(this.#columns.type, side) || (hadOther && hasOther)) return;
    const add = (values: readonly unknown[], times: number): void => {
      if (side === 0) this.#add(key, values, undefined, times);
      else this.#add(key, undefined, values, times);
    };
    if (!hadOther && !hasOther) for (const { values, times } of changed) add(values, times);
    else if (hasOther) {
      // All that were there stood alone.
      for (const { values, times } of rows.values()) add(values, -times);
      for (const { values, times } of changed) add(values, times);
    } else for (const { values, times } of rows.values()) add(values, times);
  }

  #add(key: readonly unknown[], left: readonly unknown[] | undefined, right: readonly unknown[] | undefined, times: number): void {
    const { keysTo, sides } = this.#columns;
    const row = new Array<unknown>(this.#width).fill(null);
    for (const [k, to] of keysTo.entries()) row[to] = key[k];
    for (const [v, to] of sides[0].to.entries()) row[to] = left === undefined ? null : left[v];
    for (const [v, to] of sides[1].to.entries()) row[to] = right === undefined ? null : right[v];
    this.#results.add(row, times);
  }
}

function newGroup(key: readonly unknown[]): Group {
  return { key, sides: [new Map(), new Map()], changes: [new NetChanges([]), new NetChanges([])] };
}

function apply(rows: Map<string, HeldRow>, changes: readonly HeldRow[]): void {
  for (const { values, times } of changes) {
    const text = textOf(values);
    const known = rows.get(text);
    const now = (known?.times ?? 0) + times;
    if (now < 0) throw neverThere('A join of tables');
    if (now === 0) rows.delete(text);
    else if (known === undefined) rows.set(text, { values, times: now });
    else known.times = now;
  }
}
