/** The identity of a plan: what counts as the same plan, and how a difference is told. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { collect, count, f64, memory, type Pipeline, type PipelineLike, pipeline, sliding, sum, timestamp, tumbling, utf8 } from '../../runtime/index.ts';
import { type Graph, graphOf } from '../../runtime/plan/graph.ts';
import { compareOperators, identityDifference, identityOf, type PlanIdentity } from '../../runtime/plan/identity.ts';
import { makePlan } from '../../runtime/plan/planner.ts';

const clicks = { page: utf8, user: utf8, ms: f64, at: timestamp };

function identity(build: (stream: ReturnType<typeof start>, from: Pipeline) => PipelineLike, codeGeneration?: boolean): PlanIdentity {
  const from = pipeline('clicks');
  return identityOf(makePlan(graphOf(build(start(from), from)) as Graph, codeGeneration === undefined ? {} : { codeGeneration }));
}

function start(from: Pipeline) {
  return from.from(memory([], { schema: clicks }));
}

const perMinute = (size = 60_000) =>
  identity((stream) =>
    stream
      .withWatermark('at', 0)
      .filter((r) => r.ms > 1)
      .keyBy('page')
      .window(tumbling(size))
      .aggregate({ n: count() })
      .to(collect()),
  );

describe('the identity of a plan', () => {
  test('is names, hashes and formats, in the order of the plan, and who feeds whom', () => {
    const { pipeline: name, operators, wires, views } = perMinute();
    assert.equal(name, 'clicks');
    assert.deepEqual(
      operators.map((operator) => [operator.name, operator.format]),
      [
        ['source 1', 0],
        ['watermark 1', 1],
        ['aggregate 1', 1],
        ['sink 1', 0],
        ['filter 1', 0],
      ],
    );
    for (const { hash } of operators) assert.match(hash, /^[0-9a-f]{16}$/);
    assert.deepEqual(wires, ['source 1 -> watermark 1', 'watermark 1 -> filter 1', 'filter 1 -> aggregate 1, input 0', 'aggregate 1 -> sink 1']);
    assert.deepEqual(views, []);
    assert.deepEqual(structuredClone(perMinute()), perMinute());
  });

  test('is not what functions do, nor how they are run; but what they read', () => {
    const filtered = (fn: (r: { ms: number; user: string }) => boolean, codeGeneration?: boolean) =>
      identity((stream) => stream.filter(fn).keyBy('page').count().to(collect()), codeGeneration);
    const one = filtered((r) => r.ms > 1);
    assert.equal(
      identityDifference(
        one,
        filtered((r) => r.ms > 2),
      ),
      undefined,
    );
    assert.equal(
      identityDifference(
        one,
        filtered((r) => r.ms > 1, false),
      ),
      undefined,
    );
    assert.equal(
      identityDifference(
        one,
        filtered((r) => r.user !== ''),
      ),
      'filter 1 changed (reads was "ms", is "user"); kept: source 1, aggregate 1, sink 1',
    );
  });

  test('is not in which order a function names its columns, compiled or not', () => {
    // The schema has page, user, ms, at.
    const of = (codeGeneration: boolean, isTurned: boolean) =>
      identity(
        (stream) =>
          stream
            .filter(isTurned ? (r) => r.page !== '' && r.at > 0 : (r) => r.at > 0 && r.page !== '')
            .withColumns({ x: [f64, isTurned ? (r) => r.ms + r.at : (r) => r.at + r.ms], y: [utf8, (r) => r.page + r.user] })
            .map({ z: f64, page: utf8 }, isTurned ? (r) => ({ page: r.page, z: r.x }) : (r) => ({ z: r.x, page: r.page }))
            .keyBy({ key: utf8 }, (r) => ({ key: `${r.z}${r.page}` }))
            .count()
            .to(collect()),
        codeGeneration,
      );
    for (const codeGeneration of [true, false])
      for (const isTurned of [true, false]) assert.equal(identityDifference(of(true, false), of(codeGeneration, isTurned)), undefined);
  });

  test('says which fact of an operator differs', () => {
    assert.equal(
      identityDifference(perMinute(), perMinute(3_600_000)),
      'aggregate 1 changed (window.shape.sizeMs was 60000, is 3600000); kept: source 1, watermark 1, sink 1, filter 1',
    );
    const top = (n: number) => identity((stream) => stream.keyBy('page').top(n, { by: 'ms' }).to(collect()));
    assert.equal(identityDifference(top(3), top(4)), 'top 1 changed (of.fold.n was 3, is 4); kept: source 1, sink 1');
    const joined = (within: '1s' | '2s') =>
      identity((stream, from) =>
        stream
          .withWatermark('at', 0)
          .keyBy('user')
          .join(start(from).withWatermark('at', 0).keyBy('user'), { within: [0, within] })
          .to(collect()),
      );
    assert.match(identityDifference(joined('1s'), joined('2s')) ?? '', /^interval join 1 changed \(of\.afterMs was 1000, is 2000\); kept: /);
    const timed = (policy: 'min' | 'max') =>
      identity((stream) => stream.withWatermark('at', 0, { policy }).keyBy('page').window(tumbling('1m')).count().to(collect()));
    assert.match(identityDifference(timed('min'), timed('max')) ?? '', /^watermark 1 changed \(policy was "min", is "max"\)/);
    const newer = perMinute();
    const raised = { ...newer, operators: newer.operators.map((operator) => (operator.kind === 'aggregate' ? { ...operator, format: 2 } : operator)) };
    assert.match(identityDifference(newer, raised) ?? '', /^aggregate 1 changed \(the format of its state was 1, is 2\)/);
  });

  test('tells kept, new and dropped operators apart, whatever their numbers', () => {
    const both = (first: boolean) =>
      identity((stream, from) => {
        if (first)
          stream
            .keyBy('user')
            .reduce((a) => a)
            .to(collect());
        start(from)
          .keyBy('page')
          .aggregate({ ms: sum('ms') })
          .to(collect());
        return stream;
      });
    const difference = compareOperators(both(false), both(true));
    assert.deepEqual(difference.added, ['source 2', 'reduce 1', 'sink 1']);
    assert.deepEqual(difference.kept, ['source 1', 'aggregate 1', 'sink 2']);
    assert.deepEqual(difference.changed, []);
    assert.deepEqual(difference.dropped, []);
    const back = compareOperators(both(true), both(false));
    assert.deepEqual([back.added, back.changed, back.dropped.length, back.kept.length], [[], [], 3, 3]);
    assert.match(identityDifference(both(true), both(false)) ?? '', /^dropped: .*reduce 1.*; kept: source 1, aggregate 1, sink 1$/);
  });

  test('is who feeds whom, too', () => {
    const fed = (isWatermarkFirst: boolean) =>
      identity((stream) => {
        const timed = stream.withWatermark('at', 0);
        const filtered = isWatermarkFirst ? timed.filter((r) => r.ms > 1) : stream.filter((r) => r.ms > 1).withWatermark('at', 0);
        return filtered.keyBy('page').window(sliding('1m', '10s')).count().to(collect());
      });
    assert.match(
      identityDifference(fed(true), fed(false)) ?? '',
      /^the same operators are connected otherwise: it had source 1 -> watermark 1; .*, and has source 1 -> filter 1; /,
    );
  });

  test('is the views of a running job', () => {
    const viewed = (name: string) => identity((stream) => stream.keyBy('page').count().as(name).to(collect()));
    assert.match(identityDifference(viewed('a'), viewed('b')) ?? '', /viewed otherwise: it had a of aggregate 1, and has b of aggregate 1/);
  });
});
