// TimerQueue, and the heap below it, against an array that is sorted each time.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Timer, TimerQueue } from '../../operators/keyed/timer-queue.ts';
import { caseCount, fc } from '../seed.ts';

const RUNS = caseCount(200);

test('timers are taken in the order of time, those of one time as they were set, owners with them', () => {
  // Few times, so that many are equal; a step without a time takes one.
  const step = fc.oneof({ weight: 3, arbitrary: fc.integer({ min: -20, max: 20 }) }, { weight: 2, arbitrary: fc.constant(undefined) });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 400 }), (steps) => {
      const queue = new TimerQueue<string>();
      let model: Timer<string>[] = [];
      for (const [place, time] of steps.entries()) {
        if (time !== undefined) {
          const owner = `owner ${place}`;
          model.push({ time, number: queue.add(time, owner), owner });
          model.sort((a, b) => a.time - b.time || a.number - b.number);
        } else if (model.length > 0) {
          assert.deepEqual(queue.take(), model[0]);
          model = model.slice(1);
        }
        assert.equal(queue.size, model.length);
        assert.equal(queue.firstTime, model[0]?.time ?? Number.POSITIVE_INFINITY);
      }
      assert.deepEqual(queue.inOrder(), model);
      for (const timer of model) assert.deepEqual(queue.take(), timer);
    }),
    { numRuns: RUNS },
  );
});

test('numbers ascend with each timer that is set', () => {
  const queue = new TimerQueue<number>();
  const numbers = [3, 1, 2].map((time) => queue.add(time, time));
  queue.take();
  numbers.push(queue.add(0, 0));
  assert.deepEqual(numbers, [0, 1, 2, 3]);
});
