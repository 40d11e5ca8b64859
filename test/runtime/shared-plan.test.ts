/** What tasks cannot share is refused when the job starts, with the reason and what to do. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kafka } from '../../io/kafka/index.ts';
import {
  collect,
  count,
  f64,
  generator,
  json,
  type PipelineLike,
  pipeline,
  type ShareOptions,
  share,
  sum,
  timestamp,
  tumbling,
  utf8,
} from '../../runtime/index.ts';
import { graphOf, makePlan, planOfTask, shardsOf, TASK_COUNTS } from '../../runtime/plan/index.ts';

const at = { brokers: ['127.0.0.1:9'], group: 'g' };
const fields = { id: f64, key: utf8, other: utf8, n: f64, at: timestamp };
const rows = () =>
  pipeline('p')
    .from(kafka.source({ ...at, topic: 'in', value: json(fields) }))
    .withWatermark('at', 5);
const out = () => kafka.sink({ brokers: at.brokers, topic: 'out', value: json() });
const planOf = (of: PipelineLike) => planOfTask(makePlan(graphOf(of) as never), { index: 1, count: 4 });

test('the shards of all tasks are all shards, each once', () => {
  for (const tasks of TASK_COUNTS) {
    const all = Array.from({ length: tasks }, (_, task) => shardsOf(task, tasks)).flatMap(([from, to]) =>
      Array.from({ length: to - from }, (_, i) => from + i),
    );
    assert.deepEqual(
      all,
      Array.from({ length: 64 }, (_, shard) => shard),
    );
  }
});

test('the plan of a task has its own name and group, and the topic between the tasks', () => {
  const plan = planOf(rows().keyBy('key').window(tumbling(1_000)).aggregate({ rows: count() }).to(out()));
  assert.equal(plan.name, 'p.2of4');
  assert.deepEqual(
    plan.sources.map(({ source }) => source.name),
    ['kafka in', 'kafka g.p.exchange'],
  );
  assert.deepEqual(
    plan.sources.map(({ source }) => source.alone),
    ['kafka in in group g.2of4', 'kafka g.p.exchange in group g.2of4'],
  );
  assert.deepEqual(plan.task, { index: 1, count: 4, source: 1, sink: 1, direct: [[0]] });
});

test('what one process at a time reads or writes, and what needs an order that tasks do not keep', () => {
  const cases: readonly [() => PipelineLike, RegExp][] = [
    [
      () =>
        pipeline('p')
          .from(generator({ rows: 1, seed: 1, schema: { key: utf8 }, row: () => ({ key: '' }) }))
          .to(out()),
      /The pipeline "p" cannot be run in tasks: generator can be read by one process only; sources of Kafka can be shared/,
    ],
    [() => rows().to(collect()), /collect has one writer at a time; sinks of the same Kafka cluster/],
    [() => rows().to(kafka.sink({ brokers: ['127.0.0.2:9'], topic: 'out', value: json() })), /kafka out has one writer at a time/],
    [
      () => {
        const p = pipeline('p');
        const other = p.from(kafka.source({ brokers: ['127.0.0.2:9'], group: 'g', topic: 'other', value: json(fields) }));
        return p
          .from(kafka.source({ ...at, topic: 'in', value: json(fields) }))
          .union(other)
          .to(out());
      },
      /its sources are in kafka 127\.0\.0\.1:9 and in kafka 127\.0\.0\.2:9/,
    ],
    [
      () =>
        rows()
          .keyBy('key')
          .aggregate({ n: sum('n') })
          .as('sums')
          .changes()
          .to(out()),
      /its view "sums" would show the keys of this process only/,
    ],
    [
      () =>
        rows()
          .keyBy('key')
          .process({ schema: { other: utf8, n: f64 }, onRow: (row, ctx) => ctx.emit({ other: row.other, n: row.n }) })
          .keyBy('other')
          .reduce((a) => a)
          .changes()
          .to(out()),
      /needs rows in the order in which they were read, behind an operator by another key/,
    ],
    [
      () => {
        const p = pipeline('p');
        const one = (topic: string) => p.from(kafka.source({ ...at, topic, value: json(fields) })).withWatermark('at', 5, { policy: 'max' });
        return one('a').union(one('b')).keyBy('key').window(tumbling(1_000)).aggregate({ rows: count() }).to(out());
      },
      /goes by the first of its streams/,
    ],
  ];
  for (const [make, message] of cases) assert.throws(() => planOf(make()), { code: 'ERR_MILLRACE_PIPELINE', message });
});

test('options that do not go with tasks say why', async () => {
  const cases: readonly [object, RegExp][] = [
    [{ tasks: 3 }, /tasks is 3\. Give 1, 2, 4, 8, 16, 32, 64/],
    [{ workers: 2 }, /workers does not go with tasks\. A task has one worker thread/],
    [{ bounded: true }, /goes on until it is stopped/],
    [{ trigger: 'availableNow' }, /trigger is 'availableNow'/],
    [{ guarantee: 'at-least-once' }, /guarantee is "at-least-once"\. A shared job is 'exactly-once'/],
    [{ checkpoint: undefined }, /There is no checkpoint/],
    [{ trigger: 'soon' }, /trigger is "soon"/],
  ];
  for (const [options, message] of cases) {
    await assert.rejects(share('nowhere.ts', { checkpoint: { dir: 'x' }, ...options } as ShareOptions), { code: 'ERR_MILLRACE_OPTION', message });
  }
});
