/** The plan of process(): its streams, what its state depends on, and how state of earlier versions is read. */

import { MillraceError, type Schema, shown } from '../../core/index.ts';
import type { Migration } from '../exchange/index.ts';
import { refusePromise } from '../rows/index.ts';
import type { KeyedInput, KeyedOperatorPlan } from './keyed-operator.ts';
import { ProcessOperator } from './process.ts';
import { failed, refuseInstances } from './process-errors.ts';
import { schemaOfOutputs } from './process-outputs.ts';
import type { ProcessInput, ProcessPlan, ProcessRequest, ProcessSnapshot } from './process-request.ts';

const STATE_FORMAT = 1;

/**
 * @throws MillraceError ERR_MILLRACE_PIPELINE for an unknown key column, keys that do not fit together, or an
 *   order by event time of a stream that has none
 */
export function planProcess(request: ProcessRequest): KeyedOperatorPlan {
  const { inputs, order, state, onTimer, ttlMs } = request;
  const tableAt = inputs.findIndex(({ isTable }) => isTable === true);
  const streams = inputs.filter(({ isTable }) => isTable !== true);
  const isInOrder = order === 'eventTime';
  if (isInOrder) for (const input of inputs) mustHaveTime(input, inputs);
  mustHaveLikeKeys(streams);
  const keyed = inputs.map((input) => keyedInput(input, isInOrder));
  const output = schemaOfOutputs(request.output, request.outputs);
  const plan: ProcessPlan = {
    request,
    inputs: keyed,
    times: inputs.map(({ schema, eventTime }) => (eventTime === undefined ? -1 : schema.require(eventTime, 'withWatermark'))),
    hasTime: streams.every(({ eventTime }) => eventTime !== undefined),
    isInOrder,
    tableAt,
  };
  const holdsState = state !== undefined || onTimer !== undefined;
  const extras = [
    state === undefined ? 'no state' : 'state by key',
    ...(onTimer === undefined ? [] : ['timers']),
    ...(ttlMs === undefined ? [] : [`dropped ${ttlMs} ms after the last row`]),
  ];
  return {
    name: 'process',
    inputs: keyed,
    ...(tableAt < 0 ? {} : { loadsFirst: tableAt, takesFirst: tableAt }),
    output,
    isOrdered: !isInOrder,
    callsFunctions: true,
    isStateOfOutput: false,
    outputTime: outputTime(streams, request.output),
    lateBefore: (watermark) => (isInOrder ? watermark : Number.NEGATIVE_INFINITY),
    heldUntil: (maxTimeMs, input) => {
      if (holdsState || input === tableAt) return Number.POSITIVE_INFINITY;
      return isInOrder ? maxTimeMs + 1 : Number.NEGATIVE_INFINITY;
    },
    state: {
      format: STATE_FORMAT,
      facts: factsOf(request),
      migration: ({ format, facts }) => migrationOf(request, format, facts),
    },
    open: (context, from) => new ProcessOperator(plan, context, from as ProcessSnapshot | undefined),
    whole: 'your function takes each row of a key, in order',
    describe: () =>
      [
        `process by ${(streams[0] as ProcessInput).keys.join(', ') || '(none: one key)'}${inputs.length === 1 ? '' : `, of ${inputs.length} streams`}`,
        `  ${extras.join(', ')}`,
        ...(isInOrder ? ['  order     rows and timers by event time, held until the watermark has passed them'] : []),
        ...(tableAt < 0 ? [] : ['  table     the latest row of each key, held for ever by every shard']),
      ].join('\n'),
  };
}

function keyedInput({ schema, keys, eventTime, timeShiftMs, isTable }: ProcessInput, isInOrder: boolean): KeyedInput {
  return {
    schema,
    keys: keys.map((name) => schema.require(name, 'keyBy')),
    columns: schema.fields.map((_, c) => c),
    // In the order of arrival late rows are ordinary rows: the function sees the watermark and may decide.
    eventTime: isInOrder ? schema.require(eventTime as string, 'withWatermark') : -1,
    timeShiftMs,
    ...(isTable === true ? { isBroadcast: true } : {}),
  };
}

function mustHaveTime(input: ProcessInput, inputs: readonly ProcessInput[]): void {
  if (input.eventTime !== undefined) return;
  const which = inputs.length === 1 ? 'the stream' : input.isTable === true ? 'the broadcast table' : `stream ${inputs.indexOf(input) + 1}`;
  throw new MillraceError(
    'ERR_MILLRACE_PIPELINE',
    `process() has order: 'eventTime', and ${which} has no event time, or no longer the column: ${input.schema}. Put .withWatermark(column, delay) before keyBy(), or name a column that rows have here with .withEventTime(column, { delay }).`,
  );
}

/** Rows of several streams have one key when its columns are equal, one by one. */
function mustHaveLikeKeys(streams: readonly ProcessInput[]): void {
  const typesOf = ({ schema, keys }: ProcessInput): string[] => keys.map((key) => schema.field(schema.require(key, 'keyBy')).type.name);
  const [first, ...others] = streams as readonly [ProcessInput, ...ProcessInput[]];
  for (const other of others) {
    if (typesOf(first).join() === typesOf(other).join()) continue;
    const text = (of: ProcessInput): string => of.keys.map((key, k) => `${key}: ${typesOf(of)[k]}`).join(', ');
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `connect() of a stream keyed by ${shown(text(first))} and one keyed by ${shown(text(other))}: both need the same number of key columns, of the same types. Convert one with map() before keyBy().`,
    );
  }
}

/** The column that all streams have as their event time, where the result keeps it. */
function outputTime(streams: readonly ProcessInput[], output: Schema): KeyedOperatorPlan['outputTime'] {
  const { eventTime, timeShiftMs } = streams[0] as ProcessInput;
  if (eventTime === undefined || !streams.every((of) => of.eventTime === eventTime && of.timeShiftMs === timeShiftMs)) return undefined;
  const at = output.indexOf(eventTime);
  return at >= 0 && output.field(at).type.name === 'timestamp' ? { column: eventTime, shiftMs: timeShiftMs } : undefined;
}

interface ProcessFacts {
  readonly version: number;
  readonly eventTime: unknown;
  readonly timeShiftMs: unknown;
  readonly order?: string;
}

/** Of one stream in the order of arrival they are as they were before there was anything else. */
function factsOf({ inputs, version, state, onTimer, ttlMs, order }: ProcessRequest): ProcessFacts & Record<string, unknown> {
  const [first, ...others] = inputs as readonly [ProcessInput, ...ProcessInput[]];
  return {
    version,
    hasState: state !== undefined,
    hasTimers: onTimer !== undefined,
    ttlMs,
    eventTime: others.length === 0 ? first.eventTime : inputs.map(({ eventTime }) => eventTime ?? null),
    timeShiftMs: others.length === 0 ? first.timeShiftMs : inputs.map(({ timeShiftMs }) => timeShiftMs),
    ...(order === 'arrival' ? {} : { order }),
    ...(inputs.some(({ deleted }) => deleted !== undefined) ? { deleted: inputs.at(-1)?.deleted } : {}),
  };
}

/** What has time-to-live, timers or state now need not have had them; but times must mean the same. */
function migrationOf(request: ProcessRequest, format: number, facts: unknown): Migration | undefined {
  const { version, migrate } = request;
  const was = facts as Partial<ProcessFacts> | null;
  const from = was?.version;
  if (migrate === undefined || format !== STATE_FORMAT || typeof from !== 'number' || from >= version) return undefined;
  const timesOf = ({ eventTime, timeShiftMs, order }: Partial<ProcessFacts>): string => JSON.stringify([eventTime, timeShiftMs, order]);
  if (timesOf(was ?? {}) !== timesOf(factsOf(request))) return undefined;
  return (snapshot) => {
    const { entries, ...rest } = snapshot as ProcessSnapshot;
    const migrated = entries.map((entry) => {
      let state: unknown;
      try {
        state = migrate(entry.state, from);
        refusePromise(state);
      } catch (cause) {
        throw failed(`migrate of the state of version ${from}`, entry.key, cause);
      }
      refuseInstances(state);
      return { ...entry, state };
    });
    return { ...rest, entries: migrated } satisfies ProcessSnapshot;
  };
}
