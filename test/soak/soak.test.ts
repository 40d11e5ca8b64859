/**
 * The quick column of the checker: a few kills, a named point, a process that is stopped and replaced, a worker that
 * dies, and two planted bugs, on one broker. The full column is `npm run soak`; ledger.json has what was run.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { kafkaBroker } from '../kafka-broker.ts';
import { effortCount, seedOf } from '../seed.ts';
import { readLedger } from './ledger.ts';
import { Oracle, type Snapshot } from './oracle.ts';
import type { Output, Row } from './pipeline.ts';
import { FAULTS, planOf } from './plan.ts';
import { CHECKPOINT_POINTS, START_POINTS, WORKER_POINTS } from './points.ts';
import { isGreen, soak } from './soak.ts';
import { around, CANARIES } from './wrapping.ts';

test('kills, a zombie, a death and canaries on one broker: nothing lost, nothing twice, nothing torn', { timeout: 600_000 }, async (t) => {
  const use = await kafkaBroker(t);
  if (use === undefined) return;
  const kills = effortCount(3);
  const result = await soak({
    kills,
    faults: new Set(['kill', 'stop', 'worker']),
    canaries: ['dropped-block', 'commit-before-flush'],
    rolls: 1,
    seed: seedOf(4),
    brokers: 0,
    use,
    say: (text) => t.diagnostic(text),
  });
  assert.ok(isGreen(result), JSON.stringify(result, null, 2));
  assert.ok(
    // Whether a worker has died, and a named point was reached, before its kill came is up to the machine.
    result.kills >= kills && result.stops > 0 && result.fenced === result.stops,
    JSON.stringify(result),
  );
  assert.equal(Object.keys(result.canaries).length, 2);
});

describe('the plan', () => {
  const options = { kills: 60, faults: new Set(FAULTS), seed: 5, brokers: 3 };

  test('comes from the seed, and has every point and every fault', () => {
    assert.deepEqual(planOf(options), planOf(options));
    assert.notDeepEqual(planOf(options), planOf({ ...options, seed: 6 }));
    const plan = planOf(options);
    assert.ok(plan.length >= options.kills);
    const points = new Set(plan.flatMap(({ kill, fault }) => ('point' in kill && fault === undefined ? [kill.point] : [])));
    for (const point of [...CHECKPOINT_POINTS, ...WORKER_POINTS, ...START_POINTS]) assert.ok(points.has(point), point);
    const count = (kind: string) => plan.filter(({ fault }) => fault?.kind === kind).length;
    assert.deepEqual([count('stop'), count('worker'), count('broker')], [10, 20, 10]);
    assert.deepEqual(new Set(plan.map(({ damage }) => damage)), new Set([undefined, 'manifest', 'segment']));
  });

  test('leaves out what it is told to leave out', () => {
    const plan = planOf({ ...options, faults: new Set(['kill']) });
    assert.ok(plan.every(({ fault, damage }) => fault === undefined && damage === undefined));
    assert.ok(planOf({ ...options, brokers: 0 }).every(({ fault }) => fault?.kind !== 'broker'));
  });
});

describe('the oracle', () => {
  const rows: Row[] = Array.from({ length: 40 }, (_, id) => ({ id, key: `k${id % 3}`, n: id, at: 1_000 + 10 * id }));
  type Change = (outputs: [Output, Record<string, number | string>][]) => void;

  /** What a job that is right gives, changed. */
  function judged(change: Change = () => {}, snapshots: readonly Snapshot[] = []) {
    const oracle = new Oracle();
    for (const row of rows) oracle.input(row);
    const outputs: [Output, Record<string, number | string>][] = [];
    const numbers = new Map<string, { rows: number; n: number }>();
    for (const { id, key, n } of rows) {
      const known = numbers.get(key) ?? { rows: 0, n: 0 };
      const now = { rows: known.rows + 1, n: known.n + n };
      numbers.set(key, now);
      outputs.push(['copy', { id, twice: 2 * n }], ['numbers', { key, number: now.rows, id }], ['counts', { key, ...now }]);
    }
    for (const key of ['k0', 'k1', 'k2']) {
      const of = rows.filter((row) => row.key === key);
      // Rows of a key are 30 ms apart: one session.
      const last = of.at(-1) as Row;
      outputs.push(['sessions', { key, windowStart: (of[0] as Row).at, windowEnd: last.at + 30, rows: of.length, n: of.reduce((sum, { n }) => sum + n, 0) }]);
      for (let start = 800; start <= 1_200; start += 200) {
        const inside = of.filter(({ at }) => at >= start && at < start + 400);
        if (inside.length > 0)
          outputs.push(['windows', { key, windowStart: start, windowEnd: start + 400, rows: inside.length, n: inside.reduce((sum, { n }) => sum + n, 0) }]);
      }
    }
    const windows = outputs.flatMap(([of, row]) => (of === 'windows' ? [row as { windowEnd: number; n: number }] : []));
    for (const start of [800, 1_600]) {
      const inside = windows.filter(({ windowEnd }) => windowEnd - 1 >= start && windowEnd - 1 < start + 800);
      if (inside.length > 0)
        outputs.push(['totals', { windowStart: start, windowEnd: start + 800, windows: inside.length, n: inside.reduce((sum, { n }) => sum + n, 0) }]);
    }
    change(outputs);
    outputs.forEach(([of, row], offset) => oracle.output(of, row, 0, offset));
    for (const snapshot of snapshots) oracle.snapshot(snapshot);
    const { rows: _, examples: __, ...counts } = oracle.verdict();
    return counts;
  }

  const clean = { lost: 0, duplicated: 0, wrong: 0, torn: 0 };
  const first = (outputs: [Output, Record<string, number | string>][], of: Output) => outputs.findIndex(([output]) => output === of);

  test('has nothing to say where all is right', () => assert.deepEqual(judged(), clean));

  for (const one of ['copy', 'windows', 'sessions', 'totals', 'numbers'] as const) {
    test(`notices what is lost of ${one}, and what comes twice`, () => {
      assert.ok(judged((outputs) => outputs.splice(first(outputs, one), 1)).lost > 0);
      assert.ok(judged((outputs) => outputs.push(outputs[first(outputs, one)] as (typeof outputs)[number])).duplicated > 0);
    });
  }

  test('notices a sum that is wrong, an update that comes twice, and a last one that does not come', () => {
    const changed =
      (of: Output): Change =>
      (outputs) =>
        void (outputs[first(outputs, of)] = [of, { ...(outputs[first(outputs, of)]?.[1] as object), n: -1 }]);
    for (const one of ['windows', 'sessions', 'totals'] as const) assert.equal(judged(changed(one)).wrong, 1);
    assert.equal(judged((outputs) => outputs.push(outputs[first(outputs, 'counts')] as (typeof outputs)[number])).duplicated, 1);
    assert.equal(
      judged((outputs) =>
        outputs.splice(
          outputs.findLastIndex(([output]) => output === 'counts'),
          1,
        ),
      ).lost,
      1,
    );
  });

  test('notices a transaction of which only a part can be seen, for longer than markers take', () => {
    const at = (ms: number, copy: number, numbers: number): Snapshot => ({
      fromMs: ms,
      toMs: ms + 10,
      ends: new Map([
        ['copy 0', copy],
        ['numbers 0', numbers],
      ]),
    });
    assert.equal(judged(undefined, [at(0, 50, 50), at(20_000, 50, 50), at(30_000, 1e6, 1e6)]).torn, 0);
    assert.equal(judged(undefined, [at(0, 50, 20), at(1_000, 50, 20), at(30_000, 1e6, 1e6)]).torn, 0);
    assert.ok(judged(undefined, [at(0, 50, 20), at(20_000, 50, 20), at(30_000, 1e6, 1e6)]).torn > 0);
    assert.ok(judged(undefined, [at(0, 20, 50), at(20_000, 20, 50), at(30_000, 1e6, 1e6)]).torn > 0);
  });
});

test('a method that is gone is an error, not a fault that is never planted', () => {
  class Some {
    call(by: number): number {
      return by;
    }
  }
  const undo = around(Some, 'call', (original, by) => (original() as number) + (original((by as number) * 10) as number));
  assert.equal(new Some().call(2), 22);
  undo();
  assert.equal(new Some().call(2), 2);
  assert.throws(() => around(Some, 'gone', () => {}), /no method gone/);
});

test('the ledger has the command and the commit of each run', async () => {
  for (const { date, kind, command, counts } of await readLedger()) {
    assert.match(date, /^\d{4}-\d\d-\d\d$/);
    assert.ok(['soak', 'simulation', 'hostile'].includes(kind));
    assert.match(command, kind === 'hostile' ? /^MILLRACE_TEST_RUNS=\d+ npm test -- / : /^npm run (soak|demo:kill) -- /);
    assert.match(String(counts['commit']), /^[0-9a-f]{7,}\+?$/);
    if (kind === 'soak') for (const canary of Object.keys(counts['canaries'] as object)) assert.ok((CANARIES as readonly string[]).includes(canary));
  }
});
