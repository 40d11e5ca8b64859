/** What send() and output() of the test driver take for a source and a sink. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { collect, f64, files, json, log, memory, pipeline, type Sink, utf8 } from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';

test('a source and a sink are named by themselves, by number, by name, or by topic', () => {
  const p = pipeline('names');
  const columns = { page: utf8, ms: f64 };
  const clicks = log.source({ dir: 'nowhere', topic: 'clicks', value: json(columns) });
  const views = memory([], { schema: columns });
  const slow = collect();
  p.from(views)
    .filter((r) => r.ms > 10)
    .to(slow);
  const all = p.from(clicks).to(log.sink({ dir: 'nowhere', topic: 'all', value: json() }));
  all.to(collect());
  const driver = testDriver(all);
  const row = (ms: number) => ({ page: '/', ms });
  driver.send('clicks', [row(1)]);
  driver.send('log clicks', [row(2)], { partition: 1 });
  driver.send(clicks, [row(3)], { partition: 2 });
  driver.send('memory', [row(4)]);
  driver.send(views, [row(50)]);
  driver.endEpoch();
  assert.deepEqual(driver.output('all'), [row(1), row(2), row(3)]);
  assert.deepEqual(driver.output('log all'), driver.output('all'));
  assert.deepEqual(driver.output(slow), [row(50)]);
  assert.deepEqual(driver.output(), driver.output(0));
  const option = (message: RegExp) => ({ code: 'ERR_MILLRACE_OPTION', message });
  assert.throws(() => driver.send('click', [row(1)]), option(/"click"; there are 0 \(.*\), 1 \(.*\)/));
  assert.throws(() => driver.send(2, [row(1)]), option(/2; there are/));
  assert.throws(() => driver.output('collect'), option(/"collect"; there is more than one of that name: take its number, of .*\(collect\)/));
  assert.throws(() => driver.send(memory([], { schema: columns }), [row(1)]), option(/"memory"; there are/));
});

test('a clock that would go back, or stands between two milliseconds, is refused; and so is a driver that has failed', () => {
  const make = () =>
    testDriver(
      pipeline('t')
        .from(memory([], { schema: { key: utf8 } }))
        .filter(({ key }) => {
          if (key === '') throw new Error('no key');
          return true;
        })
        .keyBy('key')
        .count()
        .to(collect()),
    );
  for (const ms of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.throws(() => make().advanceTime(ms), { code: 'ERR_MILLRACE_OPTION', message: /^advanceTime\(\) got / });
  }
  const driver = make();
  assert.throws(() => driver.send([{ key: '' }]), { code: 'ERR_MILLRACE_USER_FUNCTION' });
  assert.throws(() => driver.send([{ key: 'a' }]), { code: 'ERR_MILLRACE_OPTION', message: /has failed before/ });
  assert.throws(() => driver.endEpoch(), { code: 'ERR_MILLRACE_OPTION', message: /has failed before/ });
});

test('two streams cannot go where one sink alone may write: their rows would replace each other', () => {
  const columns = { page: utf8, ms: f64 };
  const planned = (one: Sink, other: Sink) => {
    const rows = pipeline('twice').from(memory([], { schema: columns }));
    rows.filter((r) => r.ms > 10).to(one);
    return testDriver(rows.to(other));
  };
  const refused: [Sink, Sink, RegExp][] = [
    [
      files.sink({ dir: 'out', value: json() }),
      files.sink({ dir: './out/', value: json() }),
      /two streams that go to the files part-\*\.jsonl in ".*out", which takes one.*a\.union\(b\)\.to\(sink\)/,
    ],
    [log.sink({ dir: 'out', topic: 't', value: json() }), log.sink({ dir: 'out', topic: 't', value: json() }), /the topic t of the log in .*out/],
  ];
  for (const [one, other, message] of refused) assert.throws(() => planned(one, other), { code: 'ERR_MILLRACE_PIPELINE', message });
  planned(collect() as Sink, collect() as Sink).close();
  planned(files.sink({ dir: 'out', value: json() }), files.sink({ dir: 'out', prefix: 'slow', value: json() })).close();
  planned(log.sink({ dir: 'out', topic: 't', value: json() }), log.sink({ dir: 'out', topic: 'u', value: json() })).close();
});
