// process() against a model with plain arrays and no heap: every timer that is due is looked for anew. Random disorder,
// partitions, epoch cuts, one to three scanning workers, and shards taken out and restored in between.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AnyRow, f64, nullable, schema, timestamp, utf8 } from '../../core/index.ts';
import { type KeyedOperatorPlan, type ProcessContext, planProcess } from '../../operators/index.ts';
import { caseCount, fc } from '../seed.ts';
import { inOrder, type KeyedEpoch, normalized, runKeyed } from './keyed-harness.ts';
import { randomEpochs } from './random-epochs.ts';

fc.configureGlobal({ includeErrorInReport: true });
const RUNS = caseCount(300);

const input = schema({ key: nullable(utf8), at: timestamp, ms: f64 });
const output = schema({ key: nullable(utf8), what: utf8, at: f64, value: f64 });
const LONG = 'k'.repeat(10_000);
const KEYS = [null, '', 'a', 'b', '__proto__', 'constructor', 'é🙂', LONG, `${LONG}2`];

const row = fc.record({ key: fc.constantFrom(...KEYS), at: fc.integer({ min: -300, max: 900 }), ms: fc.integer({ min: 0, max: 99 }) });
export const epochs = randomEpochs(row, 12);

interface State {
  n: number;
  total: number;
}

/** What the user's functions do, with every feature in it. `c` is a real context or the model's. */
function onRow(r: AnyRow, c: ProcessContext<State>): void {
  const ms = r.ms as number;
  c.state.n++;
  c.state.total += ms;
  if (ms % 7 === 0) c.timer(c.time + ms * 3);
  if (ms % 11 === 0) c.timer(c.time);
  if (ms % 5 === 0) c.processingTimer(c.now + ms);
  if (ms % 13 === 0) c.deleteTimer(c.time + 21);
  if (ms % 17 === 0) c.deleteProcessingTimer(c.now + 10);
  if (ms === 42) c.clear();
  if (ms % 3 === 0) c.emit({ key: c.key.key, what: `row ${c.state.n} ${c.watermark}`, at: c.time, value: c.state.total });
}

function onTimer(time: number, c: ProcessContext<State>): void {
  c.emit({ key: c.key.key, what: `${c.timeDomain} ${c.state.n} ${c.watermark} ${c.now}`, at: time, value: c.state.total });
  c.state = { n: 0, total: c.state.total };
  if (time % 4 === 0) c.timer(time + 10);
  if (time % 6 === 0) c.timer(time);
  if (time % 9 === 0) c.processingTimer(time - 1);
  if (time % 10 === 0) c.clear();
}

interface ModelKey {
  key: string | null;
  state: State;
  timers: { time: number; isEvent: boolean; order: number; later: boolean }[];
  expiry: number;
  gone: boolean;
}

function model(cuts: readonly KeyedEpoch[], delayMs: number | undefined, ttlMs: number | undefined, partitions: number): { epoch: number; row: AnyRow }[] {
  const results: { epoch: number; row: AnyRow }[] = [];
  let keys: ModelKey[] = [];
  let order = 0;
  let watermark = Number.NEGATIVE_INFINITY;
  const maxima = new Array<number>(partitions).fill(Number.NEGATIVE_INFINITY);
  const contextOf = (k: ModelKey, time: number, timeDomain: 'event' | 'processing', epoch: number, now: number, fired?: number) => {
    const set = (at: number, isEvent: boolean) => {
      if (k.gone || k.timers.some((t) => t.time === at && t.isEvent === isEvent)) return;
      const later = fired !== undefined && at <= fired && isEvent === (timeDomain === 'event');
      k.timers.push({ time: at, isEvent, order: later ? -1 : order++, later });
    };
    const unset = (at: number, isEvent: boolean) => {
      k.timers = k.timers.filter((t) => t.time !== at || t.isEvent !== isEvent);
    };
    return {
      get state() {
        return k.state;
      },
      set state(state: State) {
        k.state = state;
      },
      key: { key: k.key },
      time,
      timeDomain,
      watermark,
      now,
      emit: (r: AnyRow) => void results.push({ epoch, row: r }),
      timer: (at: number) => set(at, true),
      processingTimer: (at: number) => set(at, false),
      deleteTimer: (at: number) => unset(at, true),
      deleteProcessingTimer: (at: number) => unset(at, false),
      clear: () => {
        k.gone = true;
        keys = keys.filter((other) => other !== k);
      },
    };
  };
  const end = (epoch: number, now: number) => {
    for (const isEvent of [true, false]) {
      const until = isEvent ? watermark : now;
      for (;;) {
        const due = keys
          .flatMap((k) => k.timers.map((t) => ({ k, t })))
          .filter(({ t }) => t.isEvent === isEvent && !t.later && t.time <= until)
          .sort((a, b) => a.t.time - b.t.time || a.t.order - b.t.order)[0];
        if (due === undefined) break;
        due.k.timers = due.k.timers.filter((t) => t !== due.t);
        onTimer(due.t.time, contextOf(due.k, due.t.time, isEvent ? 'event' : 'processing', epoch, now, due.t.time));
      }
    }
    const later = keys.flatMap((k) => k.timers.filter((t) => t.later));
    for (const t of later) {
      t.later = false;
      t.order = order++;
    }
    const passed = delayMs === undefined ? now : watermark;
    if (ttlMs !== undefined && passed !== Number.POSITIVE_INFINITY) {
      for (const k of keys) k.gone ||= k.expiry <= passed;
      keys = keys.filter((k) => !k.gone);
    }
  };
  cuts.forEach((epoch, e) => {
    for (const { row: r, partition } of inOrder(epoch)) {
      const at = r.at as number;
      let k = keys.find((known) => known.key === r.key);
      if (k === undefined) {
        k = { key: r.key as string | null, state: { n: 0, total: 0 }, timers: [], expiry: Number.NEGATIVE_INFINITY, gone: false };
        keys.push(k);
      }
      const time = delayMs === undefined ? epoch.nowMs : at;
      k.expiry = Math.max(k.expiry, time + (ttlMs ?? 0));
      onRow(r, contextOf(k, time, 'event', e, epoch.nowMs));
      maxima[partition] = Math.max(maxima[partition] as number, at);
    }
    if (delayMs !== undefined) watermark = Math.max(watermark, Math.min(...maxima) - delayMs);
    end(e, epoch.nowMs);
  });
  watermark = Number.POSITIVE_INFINITY;
  end(cuts.length, cuts.at(-1)?.nowMs ?? 0);
  return results;
}

function planOf(delayMs: number | undefined, ttlMs: number | undefined): KeyedOperatorPlan {
  return planProcess({
    version: 1,
    migrate: undefined,
    inputs: [{ schema: input, keys: ['key'], eventTime: delayMs === undefined ? undefined : 'at', timeShiftMs: 0 }],
    output,
    outputs: {},
    order: 'arrival',
    state: () => ({ n: 0, total: 0 }),
    onRow: [onRow as (r: AnyRow, c: ProcessContext) => void],
    onTimer: onTimer as (time: number, c: ProcessContext) => void,
    ttlMs,
  });
}

describe('process', () => {
  test('calls the functions in the order that the model gives, and keeps state and timers over a restore', () => {
    fc.assert(
      fc.property(
        epochs,
        fc.option(fc.constantFrom(0, 50), { nil: undefined }),
        fc.option(fc.constantFrom(1, 60, 400), { nil: undefined }),
        fc.record({ workers: fc.integer({ min: 1, max: 3 }), batchRows: fc.constantFrom(8, 64), restoreAfter: fc.integer({ min: 0, max: 6 }), salt: fc.nat() }),
        (cuts, delayMs, ttlMs, { workers, batchRows, restoreAfter, salt }) => {
          const expected = model(cuts, delayMs, ttlMs, 3);
          const run = runKeyed(planOf(delayMs, ttlMs), cuts, {
            workers,
            spread: (chunk) => (chunk * 7 + salt) >>> 1,
            batchRows,
            partitions: 3,
            restoreAfter,
            ...(delayMs === undefined ? {} : { delayMs }),
          });
          const columns = ['key', 'what', 'at', 'value'];
          assert.deepEqual(normalized(run.results, columns), normalized(expected, columns));
          // Of one key also the order is that of the model.
          for (const key of KEYS) {
            const of = (results: typeof expected) => results.filter((r) => r.row.key === key).map(({ epoch, row: r }) => [epoch, r.what, r.at, r.value]);
            assert.deepEqual(of([...run.results]), of(expected));
          }
          assert.equal(run.leakedBytes, 0);
        },
      ),
      { numRuns: RUNS },
    );
  });

  test('gives the same bytes in the same order however the chunks are spread', () => {
    fc.assert(
      fc.property(epochs, fc.nat(), (cuts, salt) => {
        const options = { batchRows: 64, partitions: 3, delayMs: 20 };
        const one = runKeyed(planOf(20, undefined), cuts, { ...options, workers: 1, spread: () => 0 });
        const three = runKeyed(
          planOf(20, undefined),
          cuts.map((epoch) => ({ ...epoch, chunks: [...epoch.chunks].reverse() })),
          {
            ...options,
            workers: 3,
            spread: (chunk) => chunk + salt,
          },
        );
        assert.deepEqual(three.results, one.results);
      }),
      { numRuns: caseCount(50) },
    );
  });
});
