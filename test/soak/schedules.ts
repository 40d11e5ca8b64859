/** Simulated schedules: pipelines with each kind of state under crashes in memory, as `simulate` of millrace/testing gives them to users. */

import { type AnyRow, seededRng } from '../../core/index.ts';
import { collect, count, f64, memory, pipeline, session, sum, timestamp, tumbling, utf8 } from '../../runtime/index.ts';
import type { PipelineLike } from '../../runtime/plan/graph.ts';
import { simulate } from '../../runtime/testing.ts';

const SCHEMA = { key: utf8, n: f64, at: timestamp };
const ROWS = 16;
/** Between two messages about how far it is. */
const SAID = 500;

const stream = () =>
  pipeline('schedules')
    .from(memory([], { schema: SCHEMA }))
    .withWatermark('at', 30);

const PIPELINES: Readonly<Record<string, () => PipelineLike>> = {
  windows: () =>
    stream()
      .keyBy('key')
      .window(tumbling(50))
      .aggregate({ rows: count(), n: sum('n') })
      .to(collect()),
  sessions: () =>
    stream()
      .keyBy('key')
      .window(session(25))
      .aggregate({ rows: count(), n: sum('n') })
      .to(collect()),
  'windows of windows': () =>
    stream()
      .keyBy('key')
      .window(tumbling(50))
      .aggregate({ rows: count() })
      .windowAll(tumbling(100))
      .aggregate({ windows: count(), rows: sum('rows') })
      .to(collect()),
  'process, with timers': () =>
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
};

export interface SchedulesResult {
  readonly schedules: number;
  readonly crashes: number;
  readonly steps: number;
  readonly failures: readonly string[];
  readonly seed: number;
  readonly seconds: number;
}

/** Runs so many schedules, in equal parts of each pipeline and guarantee; the rows differ from part to part. */
export function runSchedules(schedules: number, seed: number, say: (text: string) => void): SchedulesResult {
  const startMs = performance.now();
  const names = Object.keys(PIPELINES);
  const failures: string[] = [];
  let done = 0;
  let crashes = 0;
  let steps = 0;
  for (let part = 0; done < schedules; part++) {
    const name = names[part % names.length] as string;
    const guarantee = Math.floor(part / names.length) % 4 === 3 ? 'at-least-once' : 'exactly-once';
    const runs = Math.min(50, schedules - done);
    const report = simulate((PIPELINES[name] as () => PipelineLike)(), {
      input: rowsOf(seed + part),
      runs,
      seed: seed + done,
      faults: { crashes: 2 },
      checkpoints: { guarantee },
    });
    crashes += report.crashes;
    steps += Object.values(report.steps).reduce((sum, times) => sum + times, 0);
    if (report.failure !== undefined) failures.push(`${name}, ${guarantee}, part ${part}, seed ${report.failure.seed}: ${report.failure.what}`);
    done += runs;
    if (done % SAID < runs) say(`${done} of ${schedules} schedules, ${failures.length} failures, ${((performance.now() - startMs) / 1_000).toFixed(0)} s`);
  }
  return { schedules: done, crashes, steps, failures, seed, seconds: Math.round((performance.now() - startMs) / 1_000) };
}

/** Out of order by less than the delay of the watermark. */
function rowsOf(seed: number): AnyRow[] {
  const rng = seededRng(seed);
  return Array.from({ length: ROWS }, (_, i) => ({ key: 'abcd'[rng.int(4)] as string, n: i, at: 1_000 + i * 14 + rng.int(20) }));
}
