/** iterable(): rows of an iterator, few or many, slow or never ending, and iterators that fail. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { i32 } from '../../core/index.ts';
import { iterable } from '../../io/index.ts';
import { readSource, sourceRows } from './harness.ts';

const schema = { i: i32 };

async function* numbers(count: number, pauseEvery = Number.POSITIVE_INFINITY) {
  for (let i = 0; i < count; i++) {
    if (i % pauseEvery === 0) await sleep(12);
    yield { i };
  }
}

describe('iterable', () => {
  test('says that it cannot be read again', () => {
    assert.equal(iterable([], { schema }).isReplayable, false);
  });

  test('reads async iterables, iterables, and functions that give one', async () => {
    for (const source of [
      iterable(numbers(9_000), { schema }),
      iterable(() => numbers(9_000), { schema }),
      iterable(
        Array.from({ length: 9_000 }, (_, i) => ({ i })),
        { schema },
      ),
    ]) {
      const rows = await sourceRows(source, { creditFrames: 1 });
      assert.deepEqual(
        rows.map((r) => [r.offset, r.row.i]),
        Array.from({ length: 9_000 }, (_, i) => [i, i]),
      );
    }
    assert.deepEqual(await sourceRows(iterable([], { schema })), []);
  });

  test('rows of a slow iterator do not wait for a full frame', async () => {
    const { frames } = await readSource(iterable(numbers(20, 10), { schema }));
    assert.deepEqual(
      frames.flatMap((f) => [f.first, f.next]).filter((at) => at === 10),
      [10, 10],
      'a frame ends where the iterator paused',
    );
  });

  test('an endless iterator is told to end when the source is closed', async () => {
    let isReturned = false;
    function* endless() {
      try {
        for (let i = 0; ; i++) yield { i };
      } finally {
        isReturned = true;
      }
    }
    const { frames } = await readSource(iterable(endless(), { schema }), { framesMax: 3 });
    assert.equal(frames.length, 3);
    assert.ok(isReturned);
  });

  test('offsets go on from where the last run ended', async () => {
    const { frames, positions } = await readSource(iterable(numbers(5), { schema }), { from: new Map([[0, 100]]) });
    assert.deepEqual([positions[0]?.offset, frames[0]?.first, frames.at(-1)?.next], [100, 100, 105]);
  });

  test('an iterator that throws, and a row that does not fit, end the job', async () => {
    async function* failing() {
      yield { i: 0 };
      throw new Error('the line is dead');
    }
    await assert.rejects(readSource(iterable(failing(), { schema })), { code: 'ERR_MILLRACE_SOURCE', message: /behind row 1: the line is dead/ });
    await assert.rejects(readSource(iterable([{ i: 1 }, { i: 'x' as never }], { schema })), { code: 'ERR_MILLRACE_SCHEMA', message: /row 1 .*"x"/ });
    await assert.rejects(readSource(iterable(() => 5 as never, { schema })), { code: 'ERR_MILLRACE_OPTION' });
    assert.throws(() => iterable(5 as never, { schema }), { code: 'ERR_MILLRACE_OPTION' });
    assert.throws(() => iterable([], {} as never), { code: 'ERR_MILLRACE_SCHEMA' });
  });
});
