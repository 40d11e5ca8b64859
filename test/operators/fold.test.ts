// reduce, top and dropDuplicates against models with plain arrays: every row is put into every window that it belongs to, and
// each result is computed from all of its rows. Random disorder, lateness, partitions, epoch cuts, workers, restores.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AnyRow, f64, i32, nullable, SHARD_COUNT, schema, timestamp, utf8 } from '../../core/index.ts';
import {
  type KeyedOperatorPlan,
  planDropDuplicates,
  planFold,
  type Reducer,
  type RowFold,
  reduceFold,
  sliding,
  topFold,
  tumbling,
  type WindowSpec,
} from '../../operators/index.ts';
import { caseCount, fc } from '../seed.ts';
import { inOrder, type KeyedEpoch, normalized, runKeyed, shownValue } from './keyed-harness.ts';
import { PARTITIONS, randomEpochs } from './random-epochs.ts';

fc.configureGlobal({ includeErrorInReport: true });
const RUNS = caseCount(200);

const input = schema({ key: nullable(utf8), id: i32, at: timestamp, ms: nullable(f64), note: utf8 });
const LONG = 'k'.repeat(10_000);
const row = fc.record({
  key: fc.constantFrom(null, '', 'a', 'b', '__proto__', 'é', LONG, `${LONG}2`),
  id: fc.integer({ min: 0, max: 2 }),
  at: fc.oneof({ weight: 9, arbitrary: fc.integer({ min: -300, max: 900 }) }, { weight: 1, arbitrary: fc.constantFrom(-86_400_000, 4_102_444_800_000) }),
  ms: fc.oneof(
    { weight: 8, arbitrary: fc.integer({ min: -50, max: 50 }) },
    { weight: 1, arbitrary: fc.constantFrom(null, Number.NaN, Number.POSITIVE_INFINITY) },
  ),
  note: fc.constantFrom('', 'x', 'constructor'),
});
const epochs = randomEpochs(row, 14);
const how = fc.record({
  workers: fc.integer({ min: 1, max: 3 }),
  batchRows: fc.constantFrom(8, 64),
  restoreAfter: fc.integer({ min: 0, max: 6 }),
  salt: fc.nat(),
});
const keySets = fc.constantFrom<string[][]>(['key'], ['key', 'id'], ['id'], []);
const windows = fc
  .tuple(
    fc.constantFrom<[number, number]>([100, 100], [300, 100], [250, 100], [100, 7], [900, 100], [1_000, 999]),
    fc.constantFrom(0, 0, 60, 500),
    fc.constantFrom<('final' | 'update' | 'revise')[]>('final', 'final', 'update', 'revise'),
  )
  .map(([[sizeMs, slideMs], lateness, emission]) => {
    const bare = sizeMs === slideMs ? tumbling(sizeMs) : sliding(sizeMs, slideMs);
    return { sizeMs, slideMs, spec: bare.lateness(lateness).emit(emission) as WindowSpec };
  });

/** What comes of the rows of a group: the columns behind the key and the bounds. Rows in the order of `slice`, then of arrival. */
type Outcome = (rows: readonly AnyRow[]) => AnyRow[];
interface ModelOptions {
  readonly keys: readonly string[];
  readonly window: { readonly sizeMs: number; readonly slideMs: number; readonly stepMs?: number; readonly spec: WindowSpec } | undefined;
  readonly delayMs: number;
  readonly outcome: Outcome;
  /** A group comes out only when its rows changed the outcome. */
  readonly byChange: boolean;
}

const keyOf = (r: AnyRow, keys: readonly string[]) => keys.map((key) => JSON.stringify(shownValue(r[key]))).join();

function model(cuts: readonly KeyedEpoch[], { keys, window, delayMs, outcome, byChange }: ModelOptions) {
  const results: { epoch: number; row: AnyRow }[] = [];
  const late: AnyRow[] = [];
  const groups = new Map<string, { start: number; end: number; rows: AnyRow[]; shown: string; changed: boolean; isOut: boolean }>();
  const maxima = new Array<number>(PARTITIONS).fill(Number.NEGATIVE_INFINITY);
  let watermark = Number.NEGATIVE_INFINITY;
  const lateness = window?.spec.latenessMs ?? 0;
  // Panes are runs of the times at which no window begins or ends; in a window they are folded in the order of time.
  const paneOf = (at: number) => {
    if (window === undefined) return 0;
    const slide = Math.floor(at / window.slideMs);
    const cut = window.sizeMs % window.slideMs;
    return slide * 2 + (cut > 0 && at - slide * window.slideMs >= cut ? 1 : 0);
  };
  const end = (epoch: number) => {
    for (const [name, group] of [...groups].sort(([, a], [, b]) => a.start - b.start)) {
      const isClosed = window !== undefined && group.end + lateness <= watermark;
      const ordered = group.rows.map((r, n) => ({ r, n })).sort((a, b) => paneOf(a.r.at as number) - paneOf(b.r.at as number) || a.n - b.n);
      const rows = outcome(ordered.map(({ r }) => r));
      const shown = JSON.stringify(rows.map((r) => Object.values(r).map(shownValue)));
      const emission = window?.spec.emission ?? 'update';
      const isNew = group.changed && (!byChange || shown !== group.shown);
      const isOver = window !== undefined && group.end <= watermark;
      const isDue = emission === 'final' ? isClosed : emission === 'update' ? isNew : isOver && (isNew || !group.isOut);
      group.isOut ||= isOver;
      if (isDue) {
        const head = Object.fromEntries(keys.map((key) => [key, (group.rows[0] as AnyRow)[key]]));
        const bounds = window === undefined ? {} : { windowStart: group.start, windowEnd: group.end };
        for (const r of rows) results.push({ epoch, row: { ...r, ...head, ...bounds } });
      }
      group.changed = false;
      group.shown = shown;
      if (isClosed) groups.delete(name);
    }
  };
  cuts.forEach((epoch, e) => {
    for (const { row: r, partition } of inOrder(epoch)) {
      const at = r.at as number;
      maxima[partition] = Math.max(maxima[partition] as number, at);
      const spans: [number, number][] = [];
      if (window === undefined) spans.push([0, 0]);
      else {
        for (let start = Math.floor(at / window.slideMs) * window.slideMs; start > at - window.sizeMs; start -= window.slideMs) {
          if (start + window.sizeMs + lateness > watermark) spans.push([start, start + window.sizeMs]);
        }
      }
      if (spans.length === 0) late.push(r);
      for (const [start, stop] of spans) {
        const name = `${start} ${keyOf(r, keys)}`;
        const group = groups.get(name) ?? { start, end: stop, rows: [], shown: '', changed: false, isOut: false };
        groups.set(name, group);
        group.rows.push(r);
        group.changed = true;
      }
    }
    watermark = Math.max(watermark, Math.min(...maxima) - delayMs);
    end(e);
  });
  watermark = Number.POSITIVE_INFINITY;
  end(cuts.length);
  return { results, late };
}

function check(
  plan: KeyedOperatorPlan,
  cuts: readonly KeyedEpoch[],
  options: ModelOptions,
  { workers, batchRows, restoreAfter, salt }: { workers: number; batchRows: number; restoreAfter: number; salt: number },
): void {
  const expected = model(cuts, options);
  const run = runKeyed(plan, cuts, {
    workers,
    batchRows,
    restoreAfter,
    spread: (chunk) => (chunk * 5 + salt) >>> 1,
    partitions: PARTITIONS,
    delayMs: options.delayMs,
  });
  const columns = plan.output.fields.map((field) => field.name);
  assert.deepEqual(
    normalized(options.byChange ? withoutRepeats(run.results, options.keys, columns) : run.results, columns),
    normalized(expected.results, columns),
  );
  assert.deepEqual(run.late.map((r) => JSON.stringify(r)).sort(), expected.late.map((r) => JSON.stringify(r)).sort());
  assert.equal(run.leakedBytes, 0);
}

/** Without the lists of a key and window that say what the list before said: a list may come again when one of its panes changed. */
function withoutRepeats(results: readonly { readonly epoch: number; readonly row: AnyRow }[], keys: readonly string[], columns: readonly string[]) {
  const lists = new Map<string, { readonly name: string; readonly list: { epoch: number; row: AnyRow }[] }>();
  for (const result of results) {
    const name = keyOf(result.row, [...keys, 'windowStart']);
    const list = lists.get(`${result.epoch} ${name}`) ?? { name, list: [] };
    lists.set(`${result.epoch} ${name}`, list);
    list.list.push(result);
  }
  const last = new Map<string, string>();
  return [...lists.values()].flatMap(({ name, list }) => {
    const shown = JSON.stringify(list.map(({ row: r }) => columns.map((column) => shownValue(r[column]))));
    const isNews = last.get(name) !== shown;
    last.set(name, shown);
    return isNews ? list : [];
  });
}

const plus: Reducer = (a, b) => ({ ...a, ms: (a.ms as number) + (b.ms as number), id: b.id });
/** Writes into its first argument, as people do. */
const plusInPlace: Reducer = (a, b) => Object.assign(a, { ms: (a.ms as number) + (b.ms as number), id: b.id });
const minus: Reducer = (a, b) => ({ ...a, ms: (a.ms as number) - (b.ms as number) });
const finite = (cuts: readonly KeyedEpoch[]) =>
  cuts.map((epoch) => ({
    ...epoch,
    chunks: epoch.chunks.map((chunk) => ({ ...chunk, rows: chunk.rows.map((r) => ({ ...r, ms: Number.isFinite(r.ms) ? r.ms : 1 })) })),
  }));
const reduced =
  (columns: readonly string[]): Outcome =>
  (rows) => {
    const all: AnyRow = { ...rows[0], ms: rows.reduce((sum, r) => sum + (r.ms as number), 0), id: rows.at(-1)?.id };
    return [Object.fromEntries(columns.map((column) => [column, all[column]]))];
  };

describe('reduce', () => {
  test('is the fold of the rows of each key and window', () => {
    fc.assert(
      fc.property(
        epochs,
        keySets,
        fc.option(windows, { nil: undefined }),
        fc.constantFrom(0, 40),
        fc.boolean(),
        how,
        (raw, keys, window, delayMs, inPlace, run) => {
          const cuts = finite(raw);
          const fold = reduceFold(input, keys, inPlace ? plusInPlace : plus, undefined) as RowFold;
          const plan = planFold({ input, keys, fold, window: window?.spec, eventTime: 'at', timeShiftMs: 0 });
          const columns = input.fields.map((field) => field.name).filter((name) => !keys.includes(name));
          check(plan, cuts, { keys, window, delayMs, outcome: reduced(columns), byChange: false }, run);
        },
      ),
      { numRuns: RUNS },
    );
  });

  test('with an inverse goes from window to window, and gives the same sums', () => {
    const sums = schema({ key: nullable(utf8), ms: nullable(f64), at: timestamp });
    fc.assert(
      fc.property(epochs, windows, fc.constantFrom(0, 40), fc.boolean(), how, (raw, window, delayMs, inPlace, run) => {
        const cuts = finite(raw);
        const sum: Reducer = inPlace
          ? (a, b) => Object.assign(a, { ms: (a.ms as number) + (b.ms as number), at: 0 })
          : (a, b) => ({ ...a, ms: (a.ms as number) + (b.ms as number), at: 0 });
        const fold = reduceFold(sums, ['key'], sum, (a, b) => ({ ...minus(a, b), at: 0 })) as RowFold;
        const plan = planFold({ input: sums, keys: ['key'], fold, window: window.spec, eventTime: 'at', timeShiftMs: 0 });
        const summed: Outcome = (rows) => [{ ms: rows.reduce((total, r) => total + (r.ms as number), 0) }];
        const options = { keys: ['key'], window, delayMs, outcome: summed, byChange: false };
        const narrow = cuts.map((epoch) => ({
          ...epoch,
          chunks: epoch.chunks.map((chunk) => ({ ...chunk, rows: chunk.rows.map(({ key, ms, at }: AnyRow) => ({ key, ms, at })) })),
        }));
        // The time of the reduced row is no part of the question.
        const expected = model(narrow, options);
        const result = runKeyed(plan, narrow, { ...run, spread: (chunk) => chunk + run.salt, partitions: PARTITIONS, delayMs });
        const columns = ['key', 'windowStart', 'windowEnd', 'ms'];
        assert.deepEqual(normalized(result.results, columns), normalized(expected.results, columns));
      }),
      { numRuns: RUNS },
    );
  });

  test('calls the functions as often as panes enter and leave, not as windows have panes', () => {
    let calls = 0;
    const counted =
      (fn: Reducer): Reducer =>
      (a, b) => {
        calls++;
        return fn(a, b);
      };
    const rows = Array.from({ length: 2_000 }, (_, i) => ({ key: 'a', id: 0, at: i, ms: 1, note: '' }));
    const fold = reduceFold(input, ['key'], counted(plus), counted(minus)) as RowFold;
    const plan = planFold({ input, keys: ['key'], fold, window: sliding(500, 1), eventTime: 'at', timeShiftMs: 0 });
    const run = runKeyed(plan, [{ nowMs: 0, chunks: [{ partition: 0, first: 0, rows }] }], {
      workers: 1,
      spread: () => 0,
      batchRows: 512,
      partitions: 1,
      delayMs: 0,
    });
    assert.equal(run.results.length, 2_499);
    assert.ok(calls <= 4_000, `${calls} calls for 2,499 windows of 500 panes`);
  });

  test('forgets a key after its time to live', () => {
    const fold = () => reduceFold(input, ['key'], plus, undefined) as RowFold;
    const plan = planFold({ input, keys: ['key'], fold: fold(), window: undefined, eventTime: 'at', timeShiftMs: 0, ttlMs: 100 });
    const at = (time: number, key = 'a') => ({ key, id: 0, at: time, ms: 1, note: '' });
    const cuts = [[at(0)], [at(90)], [at(180), at(300, 'b')], [at(301, 'b')], [at(302)]].map((rows, n) => ({
      nowMs: n,
      chunks: [{ partition: 0, first: n * 10, rows }],
    }));
    const run = runKeyed(plan, cuts, { workers: 1, spread: () => 0, batchRows: 8, partitions: 1, delayMs: 0, closes: false });
    const sums = (key: string) => run.results.filter(({ row: r }) => r.key === key).map(({ row: r }) => r.ms);
    assert.deepEqual(
      [sums('a'), sums('b')],
      [
        [1, 2, 3, 1],
        [1, 2],
      ],
    );
  });
});

describe('top', () => {
  const rankOf = (value: unknown) => (value === null || (typeof value === 'number' && Number.isNaN(value)) ? undefined : (value as number));
  const best =
    (n: number, by: string, order: 'desc' | 'asc', columns: readonly string[]): Outcome =>
    (rows) =>
      rows
        .map((r, place) => ({ r, place, value: rankOf(r[by]) }))
        .sort((a, b) => {
          if (a.value === undefined || b.value === undefined) return (a.value === undefined ? 1 : 0) - (b.value === undefined ? 1 : 0) || a.place - b.place;
          if (a.value !== b.value) return (a.value < b.value ? 1 : -1) * (order === 'desc' ? 1 : -1);
          return a.place - b.place;
        })
        .slice(0, n)
        .map(({ r }, place) => ({ rank: place + 1, ...Object.fromEntries(columns.map((column) => [column, r[column]])) }));

  test('gives the n greatest or least rows of each key and window, in order', () => {
    fc.assert(
      fc.property(
        epochs,
        fc.constantFrom<string[][]>(['key'], []),
        fc.option(windows, { nil: undefined }),
        fc.constantFrom(0, 40),
        fc.integer({ min: 1, max: 4 }),
        fc.constantFrom('ms', 'note', 'at'),
        fc.constantFrom<('desc' | 'asc')[]>('desc', 'asc'),
        how,
        (cuts, keys, window, delayMs, n, by, order, run) => {
          const fold = topFold({ input, keys, n, by, order }) as RowFold;
          const plan = planFold({ input, keys, fold, window: window?.spec, eventTime: 'at', timeShiftMs: 0 });
          const columns = input.fields.map((field) => field.name).filter((name) => !keys.includes(name));
          // A row that pushes an equal one out leaves the same values: with the offset in it no two lists are the same.
          let number = 0;
          const marked = cuts.map((epoch) => ({
            ...epoch,
            chunks: epoch.chunks.map((chunk) => ({ ...chunk, rows: chunk.rows.map((r) => ({ ...r, id: number++ })) })),
          }));
          check(plan, marked, { keys, window, delayMs, outcome: best(n, by, order, columns), byChange: true }, run);
        },
      ),
      { numRuns: RUNS },
    );
  });
});

describe('top by several columns', () => {
  const values = (r: AnyRow) => [r.id as number, r.note as string, r.ms as number | null] as const;
  /** id descending, then note, then ms descending; null and NaN last. */
  const compared = (a: AnyRow, b: AnyRow): number => {
    const [[id, note, ms], [otherId, otherNote, otherMs]] = [values(a), values(b)];
    const isBad = (of: number | null) => (of === null || Number.isNaN(of) ? 1 : 0);
    const last = isBad(ms) - isBad(otherMs) || (isBad(ms) === 1 || ms === otherMs ? 0 : (otherMs as number) - (ms as number) > 0 ? 1 : -1);
    return otherId - id || (note < otherNote ? -1 : note > otherNote ? 1 : 0) || last;
  };
  test('ranks are those of row_number, rank and dense_rank, in windows and running', () => {
    const by = ['id desc', 'note', 'ms desc'];
    fc.assert(
      fc.property(
        epochs,
        fc.option(windows, { nil: undefined }),
        fc.integer({ min: 1, max: 4 }),
        fc.constantFrom<('row' | 'rank' | 'dense')[]>('row', 'rank', 'dense'),
        how,
        (cuts, window, n, ties, run) => {
          const fold = topFold({ input, keys: ['key'], n, by, ties, as: 'place' }) as RowFold;
          const plan = planFold({ input, keys: ['key'], fold, window: window?.spec, eventTime: 'at', timeShiftMs: 0 });
          const columns = input.fields.map((field) => field.name).filter((name) => name !== 'key');
          const outcome: Outcome = (rows) => {
            const sorted = rows.map((r, place) => ({ r, place })).sort((a, b) => compared(a.r, b.r) || a.place - b.place);
            const ranked = sorted.map(({ r }, place) => {
              const before = sorted.filter((other) => compared(other.r, r) < 0);
              const different = new Set(before.map((other) => sorted.findIndex((one) => compared(one.r, other.r) === 0)));
              const rank = ties === 'row' ? place + 1 : ties === 'rank' ? before.length + 1 : different.size + 1;
              return { place: rank, ...Object.fromEntries(columns.map((column) => [column, r[column]])) };
            });
            return ranked.filter(({ place }) => place <= n);
          };
          // Few different rows, so that there are ties; the time tells a row from one that takes its place.
          let time = 0;
          const alike = cuts.map((epoch) => ({
            ...epoch,
            chunks: epoch.chunks.map((chunk) => ({
              ...chunk,
              rows: chunk.rows.map((r) => ({ ...r, ms: typeof r.ms === 'number' && r.ms > 0 ? 1 : r.ms, at: (r.at as number) * 1_000 + (time++ % 1_000) })),
            })),
          }));
          if (window === undefined) check(plan, alike, { keys: ['key'], window, delayMs: 40_000, outcome, byChange: true }, run);
          else check(plan, cuts, { keys: ['key'], window, delayMs: 40, outcome, byChange: true }, run);
        },
      ),
      { numRuns: RUNS },
    );
  });
});

describe('dropDuplicates', () => {
  test('passes the first row of a key, and the next when it is far enough in time', () => {
    fc.assert(
      fc.property(
        epochs,
        keySets,
        fc.option(fc.constantFrom(1, 50, 400), { nil: undefined }),
        fc.option(fc.constantFrom(0, 40), { nil: undefined }),
        fc.boolean(),
        how,
        (cuts, keys, withinMs, delayMs, extend, { workers, batchRows, restoreAfter, salt }) => {
          const isTimed = withinMs !== undefined && delayMs !== undefined;
          const isExtended = extend && withinMs !== undefined;
          const plan = planDropDuplicates({ input, keys, withinMs, isExtended, eventTime: delayMs === undefined ? undefined : 'at', timeShiftMs: 0 });
          const passed = new Map<string, number[]>();
          const expected: { epoch: number; row: AnyRow }[] = [];
          const late: AnyRow[] = [];
          const maxima = new Array<number>(PARTITIONS).fill(Number.NEGATIVE_INFINITY);
          let watermark = Number.NEGATIVE_INFINITY;
          cuts.forEach((epoch, e) => {
            for (const { row: r, partition } of inOrder(epoch)) {
              const at = r.at as number;
              maxima[partition] = Math.max(maxima[partition] as number, at);
              if (isTimed && at < watermark) {
                late.push(r);
                continue;
              }
              const time = isTimed ? at : epoch.nowMs;
              const times = passed.get(keyOf(r, keys)) ?? [];
              passed.set(keyOf(r, keys), times);
              const isDuplicate = times.some((other) => withinMs === undefined || Math.abs(other - time) < withinMs);
              if (!isDuplicate || isExtended) times.push(time);
              if (isDuplicate) continue;
              expected.push({ epoch: e, row: r });
            }
            if (delayMs !== undefined) watermark = Math.max(watermark, Math.min(...maxima) - delayMs);
          });
          const run = runKeyed(plan, cuts, {
            workers,
            batchRows,
            restoreAfter,
            spread: (chunk) => chunk + salt,
            partitions: PARTITIONS,
            ...(delayMs === undefined ? {} : { delayMs }),
          });
          const columns = input.fields.map((field) => field.name);
          assert.deepEqual(normalized(run.results, columns), normalized(expected, columns));
          assert.equal(run.late.length, late.length);
          assert.equal(run.leakedBytes, 0);
        },
      ),
      { numRuns: RUNS },
    );
  });

  test('keeps a key no longer than it must', () => {
    const plan = planDropDuplicates({ input, keys: ['key'], withinMs: 100, eventTime: 'at', timeShiftMs: 0 });
    const rows = Array.from({ length: 5_000 }, (_, i) => ({ key: `k${i}`, id: 0, at: i, ms: 0, note: '' }));
    const cuts = Array.from({ length: 50 }, (_, n) => ({ nowMs: n, chunks: [{ partition: 0, first: n * 100, rows: rows.slice(n * 100, n * 100 + 100) }] }));
    const run = runKeyed(plan, cuts, { workers: 1, spread: () => 0, batchRows: 128, partitions: 1, delayMs: 0, closes: false });
    assert.equal(run.results.length, 5_000);
    // Each shard has a page, and small arrays; with all keys it would have more of both.
    assert.ok(run.stateBytes < SHARD_COUNT * 7_000, `${run.stateBytes} bytes for 100 keys`);
  });
});
