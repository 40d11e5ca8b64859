/** Which column is the event time. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { collect, f64, memory, pipeline, timestamp, utf8 } from '../../runtime/index.ts';
import { testDriver } from '../../runtime/testing.ts';

const schema = { key: utf8, at: timestamp };
const source = () => pipeline('timed').from(memory([], { schema }));

test('a column in place of the event time that is no timestamp is none', () => {
  const renamed = () =>
    source()
      .withWatermark('at', 0)
      .map({ key: utf8, at: utf8 }, ({ key }) => ({ key, at: 'soon' }));
  const other = pipeline('other');
  const left = other.from(memory([], { schema })).withWatermark('at', 0);
  const right = left.map({ key: utf8, at: utf8 }, ({ key }) => ({ key, at: 'soon' }));
  assert.throws(() => left.keyBy('key').join(right.keyBy('key'), { within: ['1s', '1s'] }), {
    code: 'ERR_MILLRACE_PIPELINE',
    message: /the right stream has none/,
  });
  const times: number[] = [];
  const driver = testDriver(
    renamed()
      .keyBy('key')
      .process({ schema: { n: f64 }, onRow: (_row, { time }) => void times.push(time) })
      .to(collect()),
    { now: 77 },
  );
  driver.send([{ key: 'a', at: 1 }]);
  driver.endEpoch();
  assert.deepEqual(times, [77]);
});
