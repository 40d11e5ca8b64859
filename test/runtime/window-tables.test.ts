// Tables made of windows: what is made of them counts all windows, and the closed ones are forgotten behind it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serialize } from 'node:v8';
import { collect, count, describePlan, memory, pipeline, session, sum, timestamp, tumbling, u32 } from '../../runtime/index.ts';
import { graphOf } from '../../runtime/plan/graph.ts';
import { makePlan } from '../../runtime/plan/planner.ts';
import { testDriver } from '../../runtime/testing.ts';

const SECOND = 1_000;
const KEYS = 40;
const EPOCHS = 120;
type Play = { readonly key: number; readonly at: number };

/** Each epoch is 10 s of event time; some rows are late, but not too late. */
const epochRows = (epoch: number): Play[] =>
  Array.from({ length: KEYS * 3 }, (_, i) => ({
    key: i % KEYS,
    at: epoch * 10 * SECOND + ((i * 37) % 10_000) - (i % 11 === 0 ? Math.min(epoch, 2) * 10 * SECOND : 0),
  }));

const windows = {
  'emit update': () => tumbling('5s').lateness('30s').emit('update'),
  'emit revise': () => tumbling('5s').lateness('30s').emit('revise'),
  'sessions that merge': () => session('200ms').lateness('30s').emit('update'),
} as const;

for (const [name, window] of Object.entries(windows)) {
  test(`the state of a table made of windows stays flat, and nothing is lost: ${name}`, () => {
    const stream = pipeline('tables')
      .from(memory([] as Play[], { schema: { key: u32, at: timestamp } }))
      .withWatermark('at', 0)
      .keyBy('key')
      .window(window())
      .count()
      .groupBy('key')
      .aggregate({ plays: sum('count'), windows: count() })
      .to(collect());
    assert.match(describePlan(makePlan(graphOf(stream) as never)), /table by .*until the watermark has passed windowEnd/);
    let driver = testDriver(stream, { partitions: 1, shards: 2 });
    const bytes: number[] = [];
    const results = new Map<unknown, { readonly plays: number; readonly windows: number }>();
    const sent: Play[] = [];
    let seen = 0;
    for (let epoch = 0; epoch < EPOCHS; epoch++) {
      const rows = epochRows(epoch);
      sent.push(...rows);
      driver.send([...rows]);
      driver.endEpoch();
      const output = driver.output();
      for (const row of output.slice(seen)) if (row.retracted !== true) results.set(row.key, row as never);
      seen = output.length;
      const snapshot = driver.snapshot();
      bytes.push(serialize(snapshot).length);
      if (epoch % 10 === 9) {
        driver = testDriver(stream, { partitions: 1, shards: 3, from: snapshot });
        seen = 0;
      }
    }
    driver.close();
    for (const row of driver.output().slice(seen)) if (row.retracted !== true) results.set(row.key, row as never);
    const [early, late] = [bytes[19] as number, bytes.at(-1) as number];
    assert.ok(late < early * 1.6, `${early} bytes after 20 epochs, ${late} after ${EPOCHS}`);
    assert.equal(results.size, KEYS);
    for (const [key, { plays, windows }] of results) {
      const own = sent
        .filter((row) => row.key === key)
        .map(({ at }) => at)
        .sort((a, b) => a - b);
      assert.equal(plays, own.length);
      const starts =
        name === 'sessions that merge' ? own.filter((at, i) => i === 0 || at - (own[i - 1] as number) > 200) : new Set(own.map((at) => Math.floor(at / 5_000)));
      assert.equal(windows, starts instanceof Set ? starts.size : starts.length);
    }
  });
}
