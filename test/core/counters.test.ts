import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attachMemory, Counters, sumCounters } from '../../core/index.ts';

const names = ['rowsIn', 'rowsLate', '__proto__'] as const;

test('counters: add, set and read, across attachments, past 32 bits', () => {
  const memory = attachMemory(new SharedArrayBuffer(256));
  memory.u8.fill(0xff);
  const one = Counters.create(memory, 0, names);
  const two = Counters.create(memory, 64, names);
  one.add('rowsIn', 4_294_967_295);
  one.add('rowsIn', 2);
  one.add('__proto__', 7);
  two.add('rowsIn', 3);
  two.set('rowsLate', 9);
  const other = Counters.attach(memory, 0, names);
  assert.equal(other.get('rowsIn'), 4_294_967_297);
  assert.deepEqual(
    [...other.snapshot()],
    [
      ['rowsIn', 4_294_967_297],
      ['rowsLate', 0],
      ['__proto__', 7],
    ],
  );
  assert.deepEqual(
    [...sumCounters([one, two])],
    [
      ['rowsIn', 4_294_967_300],
      ['rowsLate', 9],
      ['__proto__', 7],
    ],
  );
  assert.equal(memory.u8[128], 0xff, 'nothing behind the region is touched');
});

test('counters: regions are whole cache lines', () => {
  assert.equal(Counters.bytesFor([]), 64);
  assert.equal(Counters.bytesFor(new Array(8).fill('')), 64);
  assert.equal(Counters.bytesFor(new Array(9).fill('')), 128);
  const memory = attachMemory(new SharedArrayBuffer(64));
  assert.throws(() => Counters.create(memory, 0, ['a', 'a']), /one name/);
  assert.throws(() => Counters.create(memory, 64, ['a']), /can be at/);
});
