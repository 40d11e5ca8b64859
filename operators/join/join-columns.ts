/**
 * The columns of a join's result: the key columns once, under their names on the left; then the other columns
 * of the left stream, then those of the right, each in its order. A column of the right whose name is taken
 * gets a suffix (`_right`, as in Polars). What may be missing (the right in a left join, the left in a right
 * one, both in a full one) is nullable.
 *
 * The result's own times (`joinTime`, or `windowStart` and `windowEnd`) replace those that an earlier
 * operator added to the left. On the right these get the suffix, like any name that is taken. So the result
 * of a join can be either side of another join.
 */

import { type Column, type Field, kindText, MillraceError, nullable, Schema, shown, timestamp } from '../../core/index.ts';

export type JoinType = 'inner' | 'left' | 'right' | 'full';

/** One stream of a join. */
export interface JoinSide {
  readonly schema: Schema;
  /** Names of the key columns. */
  readonly keys: readonly string[];
  /** Name of the event time column; undefined: there is none. */
  readonly eventTime: string | undefined;
  readonly timeShiftMs: 0 | -1;
  /**
   * Names of the columns that earlier operators added as times of their results. The times of this join
   * replace them.
   */
  readonly added?: readonly string[];
}

export interface JoinColumns {
  readonly type: JoinType;
  readonly output: Schema;
  /** Positions of the key columns in the output. */
  readonly keysTo: readonly number[];
  /**
   * For left and right: the positions of the key columns, and of the other columns, in the input; and where
   * they go in the output.
   */
  readonly sides: readonly [SideColumns, SideColumns];
  /** Positions of the time columns that the operator fills, in the order requested. */
  readonly extra: readonly number[];
}

export interface SideColumns {
  readonly keys: readonly number[];
  readonly values: readonly number[];
  readonly to: readonly number[];
}

/** What messages call the join. */
const NAME = 'join()';

/**
 * @param extra names of timestamp columns behind the key columns
 * @throws MillraceError ERR_MILLRACE_PIPELINE when the keys differ in number or type, or two columns have one
 * name; ERR_MILLRACE_OPTION for an unknown type of join
 */
export function joinColumns(left: JoinSide, right: JoinSide, type: JoinType, suffix: string, extra: readonly string[]): JoinColumns {
  if (type !== 'inner' && type !== 'left' && type !== 'right' && type !== 'full') {
    throw new MillraceError('ERR_MILLRACE_OPTION', `${NAME} has the type ${shown(type)}. Give 'inner', 'left', 'right' or 'full'.`);
  }
  if (typeof suffix !== 'string' || suffix === '') {
    throw new MillraceError('ERR_MILLRACE_OPTION', `${NAME} has the suffix ${shown(suffix)}. Give a text that is not empty, such as '_right'.`);
  }
  if (left.keys.length !== right.keys.length) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `${NAME} of a stream keyed by (${left.keys.join(', ')}) and one keyed by (${right.keys.join(', ')}): both need the same number of key columns.`,
    );
  }
  const keyFields = left.keys.map((name, k): Field => {
    const mine = left.schema.field(left.schema.require(name, 'keyBy'));
    const theirs = right.schema.field(right.schema.require(right.keys[k] as string, 'keyBy'));
    if (kindText(mine.type) !== kindText(theirs.type)) {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `${NAME} of the key ${shown(mine.name)} (${kindText(mine.type)}) with ${shown(theirs.name)} (${kindText(theirs.type)}): keys are equal only within one type. Convert one with map() before keyBy().`,
      );
    }
    return { name: mine.name, type: mine.type.nullable || theirs.type.nullable ? nullable(mine.type) : mine.type };
  });
  const clash = extra.find((name) => left.keys.includes(name));
  if (clash !== undefined) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `${NAME} has the key ${shown(clash)}, and its result a column of that name of its own. Give the key another name: keyBy({ key: ... }, (r) => ({ key: r.${clash} })).`,
    );
  }
  const fields: Field[] = [...keyFields, ...extra.map((name) => ({ name, type: timestamp }))];
  const taken = new Set(fields.map((field) => field.name));
  const add = (field: Field, isOuter: boolean, name: string): number => {
    if (taken.has(name)) {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `${NAME} would give two columns named ${shown(name)}: a result has the key columns${extra.length > 0 ? `, ${extra.join(' and ')}` : ''} and the columns of both streams. Rename one with map(), leave it out with drop(), or give another suffix.`,
      );
    }
    taken.add(name);
    fields.push({ name, type: isOuter ? nullable(field.type) : field.type });
    return fields.length - 1;
  };
  const side = (of: JoinSide, isOuter: boolean, rename: (name: string) => string, givesWay: readonly string[] = []): SideColumns => {
    const keys = of.keys.map((name) => of.schema.indexOf(name));
    const values = of.schema.fields.map((_, c) => c).filter((c) => !keys.includes(c) && !givesWay.includes(of.schema.field(c).name));
    return { keys, values, to: values.map((c) => add(of.schema.field(c), isOuter, rename(of.schema.field(c).name))) };
  };
  const first = side(
    left,
    type === 'right' || type === 'full',
    (name) => name,
    extra.filter((name) => left.added?.includes(name)),
  );
  const second = side(right, type === 'left' || type === 'full', (name) => (taken.has(name) ? name + suffix : name));
  return {
    type,
    output: new Schema(fields),
    keysTo: keyFields.map((_, k) => k),
    sides: [first, second],
    extra: extra.map((_, e) => keyFields.length + e),
  };
}

/** Whether rows of this input come out without a match. */
export function isKept(type: JoinType, input: number): boolean {
  return type === 'full' || type === (input === 0 ? 'left' : 'right');
}

/** Some columns of a batch, in an array that is reused. */
export function pick(columns: readonly Column[], which: readonly number[], into: Column[]): Column[] {
  for (let i = 0; i < which.length; i++) into[i] = columns[which[i] as number] as Column;
  return into;
}
