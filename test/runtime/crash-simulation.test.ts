/**
 * A crash at every step of every epoch, for small pipelines: a job is taken through its input in an order that a seed draws; before each of
 * its steps, what it has left behind is given to a successor, which goes on in an order of its own to the end. What both have written is
 * compared with a plain model of the input: every window whole, at least once, and nothing else. And faults that are planted are found.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AnyRow, seededRng } from '../../core/index.ts';
import { type SimulatedFrame, type SimulatedInput, SimulatedJob, type SimulatedStep, SimulatedWorld, TOLD } from '../../runtime/driver/crash-simulation.ts';
import { broadcast, collect, count, f64, max, memory, pipeline, session, sliding, sum, timestamp, tumbling, utf8 } from '../../runtime/index.ts';
import { graphOf, type PipelineLike } from '../../runtime/plan/graph.ts';
import { makePlan } from '../../runtime/plan/planner.ts';
import { caseCount } from '../seed.ts';

const RUNS = Math.max(1, Math.round(caseCount(200) / 200));
const SEEDS = Array.from({ length: RUNS }, (_, run) => 11 + run);
const PARTITIONS = 2;
const ROUNDS = 4;
const RESTART_MS = 70;
/** Rows of a partition are out of order by less than this. */
const DISORDER_MS = 30;
const SCHEMA = { key: utf8, n: f64, at: timestamp };
type Row = { readonly key: string; readonly n: number; readonly at: number };

interface Case {
  /** The pipeline, with its sources in this order. */
  readonly make: () => PipelineLike;
  /** Rows of the sources: by default of one. */
  readonly sources?: number;
  readonly readFirst?: number;
  readonly keepsDecisions?: boolean;
  /** State never closes, so that nothing is committed while there is input. */
  readonly isNeverCommitted?: boolean;
  /** What comes out goes by where epochs are cut. */
  readonly dependsOnCuts?: boolean;
  /** Each row comes twice. */
  readonly twice?: boolean;
  /** Undefined: right. Else what is wrong. */
  readonly check: (written: readonly AnyRow[], inputs: readonly (readonly Row[])[]) => string | undefined;
}

const stream = (delay = DISORDER_MS) =>
  pipeline('crash')
    .from(memory([], { schema: SCHEMA }))
    .withWatermark('at', delay);
function two() {
  const p = pipeline('crash');
  const [left, right] = [0, 1].map(() => p.from(memory<Row>([], { schema: SCHEMA } as never)).withWatermark('at', DISORDER_MS));
  return { left: left as NonNullable<typeof left>, right: right as NonNullable<typeof right> };
}

const text = (row: AnyRow): string => JSON.stringify(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1)));

/** Each of these rows came, at least once, and no other. */
function exactly(written: readonly AnyRow[], expected: readonly AnyRow[]): string | undefined {
  const came = new Set(written.map(text));
  const wanted = new Set(expected.map(text));
  const lost = [...wanted].filter((row) => !came.has(row));
  const wrong = [...came].filter((row) => !wanted.has(row));
  return lost.length + wrong.length === 0 ? undefined : `lost ${lost.slice(0, 3).join(' ')}; wrong ${wrong.slice(0, 3).join(' ')}`;
}

/** Of each key the last row is this; what came before has no more rows in it. */
function atLast(written: readonly AnyRow[], expected: readonly AnyRow[], size: string): string | undefined {
  for (const row of expected) {
    const ofKey = written.filter(({ key }) => key === row['key']);
    if (ofKey.length === 0 || text(ofKey.at(-1) as AnyRow) !== text(row)) return `last ${text(ofKey.at(-1) ?? {})}, not ${text(row)}`;
    if (ofKey.some((one) => (one[size] as number) > (row[size] as number))) return `more than there is of ${row['key']}`;
  }
  return written.every(({ key }) => expected.some((row) => row['key'] === key)) ? undefined : 'a key that there is not';
}

function grouped<K extends string | number>(rows: readonly Row[], of: (row: Row) => readonly K[]): Map<K, Row[]> {
  const groups = new Map<K, Row[]>();
  for (const row of rows) for (const group of of(row)) groups.set(group, [...(groups.get(group) ?? []), row]);
  return groups;
}

const total = (rows: readonly Row[]): number => rows.reduce((sum, { n }) => sum + n, 0);

/** Windows by key: [key, start], their rows. */
function windows(rows: readonly Row[], sizeMs: number, slideMs: number): { key: string; start: number; rows: Row[] }[] {
  const starts = (at: number): number[] => {
    const found: number[] = [];
    for (let start = Math.floor(at / slideMs) * slideMs; start > at - sizeMs; start -= slideMs) found.push(start);
    return found;
  };
  return [...grouped(rows, ({ key, at }) => starts(at).map((start) => `${key}|${start}`))].map(([name, of]) => {
    const [key, start] = name.split('|') as [string, string];
    return { key, start: Number(start), rows: of };
  });
}

function sessions(rows: readonly Row[], gapMs: number): { key: string; rows: Row[] }[] {
  const found: { key: string; rows: Row[] }[] = [];
  for (const [key, of] of grouped(rows, (row) => [row.key])) {
    let open: Row[] = [];
    for (const row of of.toSorted((a, b) => a.at - b.at)) {
      if (open.length > 0 && row.at - (open.at(-1) as Row).at > gapMs) {
        found.push({ key, rows: open });
        open = [];
      }
      open.push(row);
    }
    found.push({ key, rows: open });
  }
  return found;
}

const CASES: Readonly<Record<string, Case>> = {
  'tumbling windows': {
    make: () =>
      stream()
        .keyBy('key')
        .window(tumbling(50))
        .aggregate({ rows: count(), n: sum('n') })
        .to(collect()),
    check: (written, [rows = []]) =>
      exactly(
        written,
        windows(rows, 50, 50).map(({ key, start, rows: of }) => ({ key, windowStart: start, windowEnd: start + 50, rows: of.length, n: total(of) })),
      ),
  },
  'sliding windows with lateness': {
    make: () =>
      stream(10)
        .keyBy('key')
        .window(sliding(100, 50).lateness(DISORDER_MS))
        .aggregate({ rows: count(), n: sum('n') })
        .to(collect()),
    check: (written, [rows = []]) =>
      exactly(
        written,
        windows(rows, 100, 50).map(({ key, start, rows: of }) => ({ key, windowStart: start, windowEnd: start + 100, rows: of.length, n: total(of) })),
      ),
  },
  'a running aggregate': {
    isNeverCommitted: true,
    dependsOnCuts: true,
    make: () =>
      stream()
        .keyBy('key')
        .aggregate({ rows: count(), n: sum('n') })
        .to(collect()),
    check: (written, [rows = []]) =>
      atLast(
        written,
        [...grouped(rows, (row) => [row.key])].map(([key, of]) => ({ key, rows: of.length, n: total(of) })),
        'rows',
      ),
  },
  sessions: {
    isNeverCommitted: true,
    make: () =>
      stream()
        .keyBy('key')
        .window(session(25))
        .aggregate({ rows: count(), n: sum('n'), last: max('at') })
        .map({ key: utf8, rows: f64, n: f64, last: f64 }, (row) => ({ key: row.key, rows: row.rows, n: row.n, last: row.last }))
        .to(collect()),
    check: (written, [rows = []]) =>
      exactly(
        written,
        sessions(rows, 25).map(({ key, rows: of }) => ({ key, rows: of.length, n: total(of), last: Math.max(...of.map(({ at }) => at)) })),
      ),
  },
  'windows of windows': {
    make: () =>
      stream()
        .keyBy('key')
        .window(tumbling(50))
        .aggregate({ rows: count() })
        .windowAll(tumbling(100))
        .aggregate({ windows: count(), rows: sum('rows') })
        .to(collect()),
    check(written, [rows = []]) {
      const starts = new Map<number, { windows: number; rows: number }>();
      for (const { start, rows: of } of windows(rows, 50, 50)) {
        const outer = Math.floor(start / 100) * 100;
        const known = starts.get(outer) ?? { windows: 0, rows: 0 };
        starts.set(outer, { windows: known.windows + 1, rows: known.rows + of.length });
      }
      return exactly(
        written,
        [...starts].map(([start, of]) => ({ windowStart: start, windowEnd: start + 100, ...of })),
      );
    },
  },
  'a join by time': {
    sources: 2,
    make() {
      const { left, right } = two();
      return left
        .keyBy('key')
        .join(right.keyBy('key'), { within: [20, 20] })
        .to(collect());
    },
    check(written, [left = [], right = []]) {
      const pairs = left.flatMap((l) => right.filter((r) => r.key === l.key && Math.abs(r.at - l.at) <= 20).map((r) => [l, r] as const));
      // Rows are told apart by their `n`, and so are pairs.
      const named = new Set(written.map((row) => `${row['n']},${row['n_right']}`));
      const wanted = new Set(pairs.map(([l, r]) => `${l.n},${r.n}`));
      const lost = [...wanted].filter((pair) => !named.has(pair));
      const wrong = [...named].filter((pair) => !wanted.has(pair));
      return lost.length + wrong.length === 0 ? undefined : `lost ${lost.slice(0, 3)}; wrong ${wrong.slice(0, 3)} of ${JSON.stringify(written[0])}`;
    },
  },
  'process, with timers': {
    isNeverCommitted: true,
    make: () =>
      stream()
        .keyBy('key')
        .process({
          schema: { key: utf8, end: f64, rows: f64 },
          state: () => new Map<number, number>(),
          onRow(row, ctx) {
            const end = Math.floor(row.at / 50) * 50 + 50;
            ctx.state.set(end, (ctx.state.get(end) ?? 0) + 1);
            ctx.timer(end);
          },
          onTimer: (end, ctx) => ctx.emit({ key: ctx.key.key, end, rows: ctx.state.get(end) ?? 0 }),
        })
        .to(collect()),
    check: (written, [rows = []]) =>
      exactly(
        written,
        windows(rows, 50, 50).map(({ key, start, rows: of }) => ({ key, end: start + 50, rows: of.length })),
      ),
  },
  'reduce in windows': {
    make: () =>
      stream()
        .keyBy('key')
        .window(tumbling(100))
        .reduce((a, b) => ({ key: a.key, n: a.n + b.n, at: Math.max(a.at, b.at) }))
        .map({ key: utf8, n: f64 }, (row) => ({ key: row.key, n: row.n }))
        .to(collect()),
    check: (written, [rows = []]) =>
      exactly(
        written,
        windows(rows, 100, 100).map(({ key, rows: of }) => ({ key, n: total(of) })),
      ),
  },
  'the top in windows': {
    make: () =>
      stream()
        .keyBy('key')
        .window(tumbling(100))
        .top(2, { by: 'n' })
        .map({ key: utf8, n: f64 }, (row) => ({ key: row.key, n: row.n }))
        .to(collect()),
    check: (written, [rows = []]) =>
      exactly(
        written,
        windows(rows, 100, 100).flatMap(({ key, rows: of }) =>
          of
            .toSorted((a, b) => b.n - a.n)
            .slice(0, 2)
            .map(({ n }) => ({ key, n })),
        ),
      ),
  },
  dropDuplicates: {
    isNeverCommitted: true,
    twice: true,
    make: () => stream().keyBy('n').dropDuplicates({ within: 200 }).to(collect()),
    check: (written, [rows = []]) => exactly(written, rows),
  },
  'a table': {
    isNeverCommitted: true,
    sources: 2,
    readFirst: 1,
    make() {
      const p = pipeline('crash');
      const clicks = p.from(memory<Row>([], { schema: SCHEMA } as never)).keyBy('key');
      const names = p.from(memory<Row>([], { schema: SCHEMA } as never)).select('key');
      return clicks.join(broadcast(names.keyBy('key'))).to(collect());
    },
    check: (written, [rows = [], names = []]) =>
      exactly(
        written.map(({ key, n, at }) => ({ key, n, at })),
        rows.filter(({ key }) => names.some((name) => name.key === key)),
      ),
  },
  'windows of the clock, with decisions kept': {
    keepsDecisions: true,
    dependsOnCuts: true,
    make: () =>
      pipeline('crash')
        .from(memory([], { schema: SCHEMA }))
        .withProcessingTime()
        .keyBy('key')
        .window(tumbling(100))
        .aggregate({ rows: count(), n: sum('n') })
        .to(collect()),
    check(written, [rows = []]) {
      const distinct = [...new Set(written.map(text))].map(
        (row) => Object.fromEntries(JSON.parse(row)) as { key: string; windowStart: number; rows: number; n: number },
      );
      if (new Set(distinct.map(({ key, windowStart }) => `${key}|${windowStart}`)).size < distinct.length)
        return `a window came with two contents: ${JSON.stringify(distinct)}`;
      const came = distinct.reduce((sum, row) => sum + row.n, 0);
      return came === total(rows) ? undefined : `rows of ${came} in all, not ${total(rows)}`;
    },
  },
};

/** Rows whose times move on, out of order by less than DISORDER_MS; each has a number of its own. */
function inputOf(
  name: string,
  seed: number,
  plant?: SimulatedInput['plant'],
  checkpoints?: SimulatedInput['checkpoints'],
): { input: SimulatedInput; rows: Row[][] } {
  const { make, sources = 1, readFirst, keepsDecisions = false, twice = false } = CASES[name] as Case;
  const rng = seededRng(seed);
  const rows: Row[][] = Array.from({ length: sources }, () => []);
  const clocks: number[] = Array(sources * PARTITIONS).fill(100);
  let number = 1;
  const rounds = Array.from({ length: ROUNDS }, (_, round) => {
    const frames: SimulatedFrame[] = [];
    // Nothing has come for a while: windows close.
    const pauseMs = round > 0 ? 100 : 0;
    clocks.forEach((ms, global) => {
      clocks[global] = ms + pauseMs;
    });
    for (let source = 0; source < sources; source++) {
      for (let partition = 0; partition < PARTITIONS; partition++) {
        // A table is all there at the start.
        if (source === readFirst && round > 0) continue;
        const made = Array.from({ length: 2 + rng.int(2) }, (): Row => {
          const global = source * PARTITIONS + partition;
          const ms = (clocks[global] as number) + rng.int(40);
          clocks[global] = ms;
          return { key: 'abc'[rng.int(3)] as string, n: number++, at: ms - rng.int(DISORDER_MS) };
        });
        (rows[source] as Row[]).push(...made);
        const cut = 1 + rng.int(made.length);
        const sent = twice ? [...made, ...made] : made;
        for (const part of [sent.slice(0, cut), sent.slice(cut)]) if (part.length > 0) frames.push({ source, partition, rows: part });
      }
    }
    return { frames, passMs: 60 };
  });
  const plan = makePlan(graphOf(make()) as NonNullable<ReturnType<typeof graphOf>>);
  return {
    input: {
      plan,
      partitions: PARTITIONS,
      shards: 2,
      rounds,
      keepsDecisions,
      ...(readFirst === undefined ? {} : { readFirst }),
      ...(plant === undefined ? {} : { plant }),
      ...(checkpoints === undefined ? {} : { checkpoints }),
    },
    rows,
  };
}

/** Whether rows came once: as in a run that nothing disturbs, or, where rows go by where epochs were cut, none twice. */
function writtenOnce(name: string, seed: number, checkpoints: SimulatedInput['checkpoints']): (written: readonly AnyRow[]) => string | undefined {
  if ((CASES[name] as Case).dependsOnCuts === true) {
    return (written) => (new Set(written.map(text)).size === written.length ? undefined : 'a row came twice');
  }
  const { input } = inputOf(name, seed, undefined, checkpoints);
  const world = SimulatedWorld.of(input);
  new SimulatedJob(input, world, seed).finish();
  const expected = (world.outside.outputs[0] as AnyRow[]).map(text).sort();
  return (written) => (JSON.stringify(written.map(text).sort()) === JSON.stringify(expected) ? undefined : `${written.length} rows, not ${expected.length}`);
}

interface Found {
  /** Steps of the run that was left, by kind. */
  readonly kinds: Map<string, number>;
  readonly wrong: string[];
}

/** Leaves a run before each of its steps. */
function crashEverywhere(name: string, seed: number, plant?: SimulatedInput['plant'], checkpoints?: SimulatedInput['checkpoints']): Found {
  const { input, rows } = inputOf(name, seed, plant, checkpoints);
  const isExact = checkpoints?.isExact === true;
  const once = isExact ? writtenOnce(name, seed, checkpoints) : undefined;
  const check: Case['check'] = (written, inputs) => (CASES[name] as Case).check(written, inputs) ?? once?.(written);
  const world = SimulatedWorld.of(input);
  const first = new SimulatedJob(input, world, seed);
  const kinds = new Map<string, number>();
  const wrong: string[] = [];
  // Of a fault that is planted one sign is enough.
  for (let step = 0; plant === undefined || wrong.length === 0; step++) {
    const chance = seededRng(seed * 1_000 + step);
    const left = world.clone((unsynced) => chance.int(unsynced + 1));
    left.clockMs += RESTART_MS;
    new SimulatedJob(input, left, seed * 1_000 + step).finish();
    const found = check(left.outside.outputs[0] as AnyRow[], rows);
    if (found !== undefined) wrong.push(`left before step ${step}: ${found}`);
    const kind = first.step();
    if (kind === undefined) break;
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  first.finish();
  const found = check(world.outside.outputs[0] as AnyRow[], rows);
  if (found !== undefined) wrong.push(`not left at all: ${found}`);
  return { kinds, wrong };
}

describe('a crash at every step', () => {
  for (const [name, { keepsDecisions, isNeverCommitted }] of Object.entries(CASES)) {
    test(name, (t) => {
      for (const seed of SEEDS) {
        const { kinds, wrong } = crashEverywhere(name, seed);
        assert.deepEqual(wrong, [], `seed ${seed}`);
        for (const kind of ['read', 'cut', 'scan', 'merge', 'write', 'written', ...(keepsDecisions === true ? ['record', 'recorded'] : [])]) {
          assert.ok((kinds.get(kind) ?? 0) > 0, `${kind} is a step of seed ${seed}`);
        }
        // Within the run, and not only at its end.
        if (isNeverCommitted !== true) assert.ok((kinds.get('commit') ?? 0) > (kinds.get('end') ?? 0), `seed ${seed} commits`);
        t.diagnostic(`seed ${seed}: ${[...kinds].map(([kind, times]) => `${kind} ${times}`).join(', ')}`);
      }
    });
  }
});

for (const [guarantee, isExact] of [
  ['at least once', false],
  ['exactly once', true],
] as const) {
  describe(`a crash at every step, with checkpoints of the state: ${guarantee}`, () => {
    for (const name of Object.keys(CASES)) {
      test(name, (t) => {
        for (const seed of SEEDS) {
          const { kinds, wrong } = crashEverywhere(name, seed, undefined, { intervalMs: 20, isExact });
          assert.deepEqual(wrong, [], `seed ${seed}`);
          for (const kind of ['read', 'cut', 'scan', 'merge', 'write', 'checkpoint', 'checkpointed', ...(isExact ? ['publish', 'published'] : [])]) {
            assert.ok((kinds.get(kind) ?? 0) > 0, `${kind} is a step of seed ${seed}`);
          }
          assert.ok((kinds.get('checkpoint') ?? 0) > 1, `seed ${seed} makes checkpoints, whatever the pipeline is`);
          t.diagnostic(`seed ${seed}: ${[...kinds].map(([kind, times]) => `${kind} ${times}`).join(', ')}`);
        }
      });
    }
  });
}

describe('a fault that is planted is found', () => {
  const told: Readonly<Record<string, string>> = TOLD;
  const inOrder: NonNullable<SimulatedInput['plant']> = ({ kind, act, tell }) => [
    { kind, run: act },
    { kind: told[kind] as string, run: tell },
  ];
  /** Said to be done before it is. */
  const tooEarly =
    (early: string): NonNullable<SimulatedInput['plant']> =>
    (wish, job) => {
      const steps = inOrder(wish, job);
      const [act, tell] = steps as [SimulatedStep, SimulatedStep];
      return wish.kind === early ? [tell, { ...act, isLate: true }] : steps;
    };
  /** What is committed is what has been read by now. */
  const tooNew: NonNullable<SimulatedInput['plant']> = (wish, job) => {
    const steps: SimulatedStep[] = [...inOrder(wish, job)];
    if (wish.kind === 'commit') {
      steps[0] = {
        kind: 'commit',
        run() {
          wish.act();
          job.outside.committed.forEach((positions, source) => {
            job.outside.commit(
              source,
              positions.map((position) => ({ ...position, offset: job.positionOf(source, position.partition) })),
            );
          });
        },
      };
    }
    return steps;
  };
  /** What is committed beside the positions gets lost. */
  const forgetful: NonNullable<SimulatedInput['plant']> = (wish, job) => {
    const [act, ...rest] = inOrder(wish, job) as [SimulatedStep, SimulatedStep];
    if (wish.kind !== 'commit') return [act, ...rest];
    const run = (): void => {
      act.run();
      job.outside.committed.forEach((positions, source) => {
        job.outside.commit(
          source,
          positions.map((position) => ({ ...position, metadata: '' })),
        );
      });
    };
    return [{ ...act, run }, ...rest];
  };
  const faults: readonly [what: string, name: string, plant: NonNullable<SimulatedInput['plant']>][] = [
    ['positions are committed before the output is written', 'tumbling windows', tooEarly('write')],
    ['positions are committed of rows that are in open windows', 'tumbling windows', tooNew],
    ['the same, in sliding windows', 'sliding windows with lateness', tooNew],
    ['which windows were closed is not committed', 'tumbling windows', forgetful],
    ['output goes out before its decisions are kept', 'windows of the clock, with decisions kept', tooEarly('record')],
  ];
  for (const [what, name, plant] of faults) {
    test(what, () => {
      const isFound = [11, 12, 13, 14, 15].some((seed) => crashEverywhere(name, seed, plant).wrong.length > 0);
      assert.ok(isFound, 'nobody noticed');
    });
  }
});
