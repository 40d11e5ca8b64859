/**
 * join() as the builder offers it: options, result types, and the operator that follows from them. The
 * streams are nodes already; see operators/join for what a join does.
 */

import { type ColumnName, checkOptionNames, MillraceError, type OmitColumns, shown, type ValueAt } from '../../core/index.ts';
import {
  type JoinSide,
  type JoinType,
  type KeyedOperatorPlan,
  planAsOfJoin,
  planIntervalJoin,
  planTableJoin,
  planWindowJoin,
  type SignedDuration,
  signedMs,
  type WindowSpec,
} from '../../operators/index.ts';
import type { Simplify } from './row-types.ts';

/** What every join takes. T: its type, S: the suffix for names of the right that are taken. */
export interface JoinOptions<T extends JoinType = JoinType, S extends string = string> {
  /**
   * `inner` (default): pairs only. `left`, `right`, `full`: the rows of that side, or of both, that have no
   * match, too, with nulls.
   */
  readonly type?: T;
  /** Suffix for a column of the right whose name is taken (default `_right`). */
  readonly suffix?: S;
}

export interface IntervalJoinOptions<T extends JoinType, S extends string> extends JoinOptions<T, S> {
  /**
   * How long before and after a row of the left those of the right may lie. Either may be negative: ['-1s',
   * '5s'] is 1 to 5 s after.
   */
  readonly within: readonly [before: SignedDuration, after: SignedDuration];
}

export interface TableJoinOptions<R2, T extends JoinType, S extends string> extends JoinOptions<T, S> {
  readonly within?: undefined;
  readonly asOf?: undefined;
  /**
   * `loaded` (default): the table's sources are read first, up to where they stood at the start, or to their
   * end if they have one. `growing`: both streams are read at once, and early rows may meet a table that has
   * few rows yet.
   */
  readonly table?: 'loaded' | 'growing';
  /** A bool column of the right: a row with true in it takes its key out of the table. */
  readonly deleted?: { [C in keyof R2]: boolean extends R2[C] ? C : never }[keyof R2] & string;
}

export interface AsOfJoinOptions<R2, T extends JoinType, S extends string> extends JoinOptions<T, S> {
  readonly within?: undefined;
  /**
   * Each row of the left meets the row of the right that was valid at its event time: the latest one up to
   * that time. Rows wait until the watermark of both streams has passed them.
   */
  readonly asOf: 'eventTime';
  /** See TableJoinOptions. */
  readonly table?: 'loaded' | 'growing';
  readonly deleted?: TableJoinOptions<R2, T, S>['deleted'];
}

type IsSame<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
/**
 * The type of a stream that can be joined: itself where the keys have the same types, else one that nothing
 * fits. Key columns are paired by position. Types compare the types of their values only; the plan checks the
 * rest.
 */
export type Joinable<K, K2, Stream> =
  IsSame<NonNullable<ValueAt<K, ColumnName<K>>>, NonNullable<ValueAt<K2, ColumnName<K2>>>> extends true ? Stream : { readonly keysOfDifferentTypes: [K, K2] };

type Outer<R, IsOuter> = IsOuter extends true ? { [C in keyof R]: R[C] | null } : R;
type Renamed<R2, Taken, S extends string> = { [C in keyof R2 as C extends Taken ? `${C & string}${S}` : C]: R2[C] };

/** A row of the result. Bounds: the columns between the key columns and the others. */
export type Joined<R, K, R2, K2, T extends JoinType, S extends string, Bounds> = Simplify<
  K &
    Bounds &
    Outer<OmitColumns<R, ColumnName<K> | keyof Bounds>, T extends 'right' | 'full' ? true : false> &
    Outer<Renamed<OmitColumns<R2, ColumnName<K2>>, keyof K | keyof Bounds | keyof R, S>, T extends 'left' | 'full' ? true : false>
>;

/** Any options that join() is given. */
export interface AnyJoinOptions extends JoinOptions {
  readonly within?: readonly [SignedDuration, SignedDuration] | undefined;
  readonly deleted?: string | undefined;
  readonly table?: 'loaded' | 'growing' | undefined;
  readonly asOf?: 'eventTime' | undefined;
}

/**
 * The operator of `left.join(right, options)`, in windows where there is one.
 *
 * @throws MillraceError ERR_MILLRACE_OPTION or ERR_MILLRACE_PIPELINE, like the plans of the operators
 */
export function planJoin(left: JoinSide, right: JoinSide, window: WindowSpec | undefined, options: AnyJoinOptions = {}, broadcast = false): KeyedOperatorPlan {
  checkOptionNames('join()', options, { type: true, suffix: true, within: true, deleted: true, table: true, asOf: true });
  const { type = 'inner', suffix = '_right', within, deleted, table, asOf } = options;
  const request = { left, right, type, suffix };
  if (table !== undefined && table !== 'loaded' && table !== 'growing') {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `join() has table: ${shown(table)}. Give 'loaded' (the table is read first) or 'growing' (both are read at once).`,
    );
  }
  if (asOf !== undefined && asOf !== 'eventTime') {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `join() has asOf: ${shown(asOf)}. Give 'eventTime': the row of the right that was valid at that of the left.`,
    );
  }
  if (asOf !== undefined && (window !== undefined || within !== undefined)) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `join() has asOf: ${shown(asOf)}, which is for a table: leave out ${window === undefined ? 'within' : 'window()'}.`,
    );
  }
  if (table !== undefined && (window !== undefined || within !== undefined)) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `join() has table: ${shown(table)}, which is for a table: leave out ${window === undefined ? 'within' : 'window()'}.`,
    );
  }
  if (deleted !== undefined && (window !== undefined || within !== undefined)) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `join() has deleted: ${shown(deleted)}, which is for a table: leave out ${window === undefined ? 'within' : 'window()'}.`,
    );
  }
  if (broadcast && (window !== undefined || within !== undefined)) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      'join() got a broadcast table by time. A table has no times: leave out within and window(), or broadcast().',
    );
  }
  if (window !== undefined) {
    if (within !== undefined) {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `join() has within: ${shown(within)} in ${window}. Take one of the two: join(other, { within }) without window(), or window() without within.`,
      );
    }
    return planWindowJoin({ ...request, left: timed(left, 'left'), right: timed(right, 'right'), window });
  }
  if (within === undefined) {
    const tableRequest = { ...request, deleted, broadcast, isLoadedFirst: table !== 'growing' };
    return asOf === undefined ? planTableJoin(tableRequest) : planAsOfJoin({ ...tableRequest, left: timed(left, 'left'), right: timed(right, 'right') });
  }
  if (!Array.isArray(within) || within.length !== 2) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `join() has within: ${shown(within)}. Give how long before and after: within: ['5s', '1m'].`);
  }
  const beforeMs = signedMs(within[0], 'The time before of join({ within })');
  const afterMs = signedMs(within[1], 'The time after of join({ within })');
  if (beforeMs + afterMs < 0) {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `join() has within: [${shown(within[0])}, ${shown(within[1])}], from ${beforeMs} ms before to ${afterMs} ms after: nothing lies there. Their sum must be at least 0.`,
    );
  }
  if (beforeMs + afterMs === 0 && beforeMs < 0) {
    const from = shown(within[1]);
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `join() has within: [${shown(within[0])}, ${from}], which is one point in time, ${afterMs} ms after: the first is how long before, not a time that is negative. For up to ${afterMs} ms before and after give within: [${from}, ${from}].`,
    );
  }
  return planIntervalJoin({ ...request, left: timed(left, 'left'), right: timed(right, 'right'), beforeMs, afterMs });
}

function timed(side: JoinSide, which: string): JoinSide {
  if (side.eventTime !== undefined) return side;
  throw new MillraceError(
    'ERR_MILLRACE_PIPELINE',
    `join() by time needs event time on both sides, and the ${which} stream has none, or no longer the column: ${side.schema}. Put .withWatermark(column, delay) before keyBy(), and keep the column.`,
  );
}
