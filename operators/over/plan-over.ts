/**
 * The plan of `over`: each row with aggregates over the rows of its key up to itself.
 *
 *   over({ n1: count('1m'), sum60: sum('amount', '1h'), last5: mean('amount', { rows: 5 }) })
 *
 * A row sees itself and the rows of its key before it: those whose time is in (time - range, time], the newest so
 * many, or all. Which rows are before it depends on the order:
 *
 *   'eventTime'  rows wait until the watermark has passed their time, and come by their time, those of the same
 *                time by source, partition and offset. So results depend on the rows alone, live as in a replay.
 *                This is the default where there is event time.
 *   'arrival'    rows come as they are read. A row that is older than one of its key counts as of that one's
 *                time. Nobody waits, but rows of several partitions see each other as they happen to arrive.
 *
 * Late rows, by the watermark at the start of their epoch, are in no result and are counted, in both orders. A
 * key that has had no row for the longest range is forgotten, unless a range has no time.
 *
 * A row goes into each range once and out of it once: see key-windows.ts. In Flink it is the OVER window of SQL; Kafka Streams' SlidingWindows give the same windows as far as they end at a row.
 */

import { type DataType, type Field, MillraceError, Schema, shown } from '../../core/index.ts';
import {
  AccumulatorSet,
  type Aggregate,
  type AggregateRange,
  isUserAggregate,
  type Range,
  type Ranged,
  rangeOf,
  rangeText,
  resultColumn,
} from '../aggregate/index.ts';
import type { KeyedInput, KeyedOperatorPlan } from '../keyed/index.ts';
import type { AnyAggregate } from '../user-aggregates/index.ts';
import { Over, type OverPlan, type OverSnapshot } from './over.ts';
import { overLayout } from './over-layout.ts';
import type { OwnFeature } from './own-features.ts';

export type OverOrder = 'eventTime' | 'arrival';

/** Features as they may be given, before they are checked. */
export type GivenFeatures = Readonly<Record<string, unknown>>;

export interface OverRequest {
  readonly input: Schema;
  readonly keys: readonly string[];
  /** Of aggregates without ranges: {@link rangesApart}. */
  readonly features: Readonly<Record<string, AnyAggregate>>;
  readonly ranges: Readonly<Record<string, AggregateRange>>;
  /** Columns of the input that are not in the output. */
  readonly hidden: readonly string[];
  readonly eventTime: string | undefined;
  readonly timeShiftMs: 0 | -1;
  /** Undefined: by event time, where there is one. */
  readonly order: OverOrder | undefined;
}

interface PlannedFeature {
  readonly aggregate: AnyAggregate;
  readonly range: AggregateRange;
  readonly type: DataType;
}

const TAKEN: ReadonlySet<string> = new Set(['count', 'sum', 'mean', 'min', 'max', 'variance', 'stddev', 'first', 'last', 'countDistinct', 'collect', 'median']);
const NO_RANGE: AggregateRange = Object.freeze({ rows: undefined, withinMs: undefined });

/**
 * The aggregates of a call, and their ranges.
 *
 * @throws MillraceError ERR_MILLRACE_PIPELINE when something is no aggregate that `over` takes
 */
export function rangesApart(features: GivenFeatures, input: Schema): Pick<OverRequest, 'features' | 'ranges'> {
  const names = typeof features === 'object' && features !== null ? Object.keys(features) : [];
  if (names.length === 0) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `over() is given ${shown(features)}. Give at least one aggregate by name: over({ lastHour: count('1h') }).`,
    );
  }
  const apart = names.map((name): [string, AnyAggregate, AggregateRange] => {
    const given = features[name];
    const isPair = Array.isArray(given);
    const aggregate = (isPair ? given[0] : given) as (AnyAggregate & Partial<Ranged>) | undefined;
    if (typeof aggregate !== 'object' || aggregate === null || typeof aggregate.name !== 'string') {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `over() is given ${shown(given)} for ${shown(name)}. Give an aggregate with a range: sum('amount', '1h'), mean('amount', { rows: 5 }) or [sum('amount'), '1h'].`,
      );
    }
    if (isUserAggregate(aggregate)) return [name, aggregate, isPair ? rangeOf(given[1] as Range, 'aggregator()') : NO_RANGE];
    if (!TAKEN.has(aggregate.name)) {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `over() is given ${aggregate.name}() for ${shown(name)}: it takes ${[...TAKEN].join(', ')} and aggregator. Use process() for others, or a window.`,
      );
    }
    const { range: own, ...plain } = aggregate;
    // count('1m') names no column where there is none of that name.
    const isRange = aggregate.name === 'count' && aggregate.column !== undefined && input.indexOf(aggregate.column) < 0 && own === undefined && !isPair;
    if (isRange && isDuration(aggregate.column)) return [name, { ...plain, column: undefined } as Aggregate, rangeOf(aggregate.column as Range, 'count()')];
    if (isPair && own !== undefined) {
      throw new MillraceError('ERR_MILLRACE_PIPELINE', `over() is given two ranges for ${shown(name)}: ${rangeText(own)}, and ${shown(given[1])}. Give one.`);
    }
    return [name, plain as Aggregate, own ?? (isPair ? rangeOf(given[1] as Range, `${aggregate.name}()`) : NO_RANGE)];
  });
  return {
    features: Object.fromEntries(apart.map(([name, aggregate]) => [name, aggregate])),
    ranges: Object.fromEntries(apart.map(([name, , range]) => [name, range])),
  };
}

/** @throws MillraceError ERR_MILLRACE_PIPELINE for columns and ranges that do not fit, ERR_MILLRACE_OPTION for an unknown order */
export function planOver(request: OverRequest): KeyedOperatorPlan {
  const { input, keys, eventTime, timeShiftMs, hidden } = request;
  const { order = eventTime === undefined ? 'arrival' : 'eventTime' } = request;
  mustBeOrder(order, eventTime);
  const visible = input.fields.filter(({ name }) => !hidden.includes(name));
  const features = Object.keys(request.features).map((name, f) => ({ name, ...feature(request, name, visible), column: visible.length + f }));
  const output = new Schema([...visible, ...features.map(({ name, type }): Field => ({ name, type }))]);
  const builtIn = features.flatMap(({ aggregate, ...of }) => (isUserAggregate(aggregate) ? [] : [{ ...of, aggregate }]));
  const own = features.flatMap(({ name, aggregate, range, column }): OwnFeature[] => {
    const { rows = Number.POSITIVE_INFINITY, withinMs = Number.POSITIVE_INFINITY } = range;
    return isUserAggregate(aggregate) ? [{ name, aggregate, rows, withinMs, column }] : [];
  });
  const layout = overLayout(
    input,
    builtIn,
    own.map(({ withinMs }) => withinMs),
  );
  const time = eventTime === undefined ? -1 : input.require(eventTime, 'over');
  // Rows that are read again go by their time, so that they can be told from those that did not come out yet.
  const isForgotten = order === 'eventTime' && !layout.isLasting;
  const rows: KeyedInput = {
    schema: input,
    keys: keys.map((name) => input.require(name, 'keyBy')),
    columns: input.fields.map((_, c) => c),
    eventTime: time,
    timeShiftMs,
  };
  const plan: OverPlan = {
    input: rows,
    output,
    layout,
    own,
    isSorted: order === 'eventTime',
    visible: visible.length,
    names: features.map(({ name }) => name),
  };
  return {
    name: 'over',
    isOrdered: true,
    callsFunctions: own.length > 0,
    inputs: [rows],
    output,
    outputTime: eventTime === undefined ? undefined : { column: eventTime, shiftMs: timeShiftMs },
    lateBefore: (watermark) => (time < 0 ? Number.NEGATIVE_INFINITY : watermark),
    uselessBefore: (watermark) => (isForgotten ? watermark - layout.withinMs : watermark),
    heldUntil: (maxTimeMs) => (isForgotten ? maxTimeMs + layout.withinMs : Number.POSITIVE_INFINITY),
    state: {
      format: 1,
      facts: {
        order,
        eventTime: eventTime ?? null,
        features: features.map(({ name, aggregate, range }) => ({ name, ...aggregateFacts(aggregate), range: rangeText(range) })),
      },
    },
    open: (context, from) => new Over(context, plan, from as OverSnapshot | undefined),
    whole: 'each row comes out, with what was before it',
    describe: () =>
      [
        `over by ${keys.join(', ')}`,
        `  order     ${order === 'arrival' ? 'as rows arrive' : `by event time (${eventTime}): rows wait for the watermark`}`,
        ...features.map(
          ({ name, aggregate, range, type }) =>
            `  ${name} = ${aggregate.name}(${isUserAggregate(aggregate) ? '' : (aggregate.column ?? '')}): ${type.name}${type.nullable ? '?' : ''}, over ${rangeText(range)}`,
        ),
        `  state     ${layout.isLasting ? 'every key is kept for ever' : `a key is kept for ${layout.withinMs} ms of event time`}`,
      ].join('\n'),
  };
}

function mustBeOrder(order: OverOrder, eventTime: string | undefined): void {
  if (order !== 'eventTime' && order !== 'arrival') {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `over() has the order ${shown(order)}. Give 'eventTime' (rows wait for the watermark, and come by their time) or 'arrival' (rows come as they are read).`,
    );
  }
  if (order === 'eventTime' && eventTime === undefined) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      "over() has the order 'eventTime', and the rows here have no event time. Put .withWatermark(column, delay) before it, and keep the column.",
    );
  }
}

function aggregateFacts(aggregate: AnyAggregate): object {
  if (isUserAggregate(aggregate)) return { of: aggregate.name, type: aggregate.type };
  const { name: of, column, parameters } = aggregate;
  return { of, column: column ?? null, parameters };
}

function feature({ input, features, ranges, eventTime }: OverRequest, name: string, visible: readonly Field[]): PlannedFeature {
  const aggregate = features[name] as AnyAggregate;
  const range = ranges[name] as AggregateRange;
  if (visible.some((field) => field.name === name)) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `over() has a feature ${shown(name)}, which is a column here, too: ${visible.map((field) => field.name).join(', ')}. Give it another name.`,
    );
  }
  if (range.withinMs !== undefined && eventTime === undefined) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `${shown(name)} goes over ${rangeText(range)}, and the rows here have no event time. Put .withWatermark(column, delay) or .withProcessingTime() before over(), or take a range of rows: { rows: 5 }.`,
    );
  }
  if (isUserAggregate(aggregate)) return { aggregate, range, type: aggregate.type };
  if (aggregate.by !== undefined) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `${aggregate.name}() of ${shown(name)} goes by ${shown(aggregate.by)}: in over() values are in the order of rows. Leave by out.`,
    );
  }
  if ((aggregate.name === 'collect' || aggregate.name === 'median') && range === NO_RANGE) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `${aggregate.name}() of ${shown(name)} has no range, so that it would keep every row for ever. Give one: ${aggregate.name}('page', { rows: 5 }).`,
    );
  }
  const { type } = resultColumn(name, aggregate, input, new AccumulatorSet(input), true);
  return { aggregate, range, type };
}

function isDuration(text: unknown): boolean {
  return typeof text === 'string' && /^\d+(?:\.\d+)?(?:ms|s|m|h|d)$/.test(text);
}
