/**
 * The ring: records passed one at a time and in runs, on one thread (the cost of the structure itself,
 * without another thread's cache), beside an array used as a queue. Before timing it is verified that every
 * record comes out once, in order.
 *
 *   npx tsx bench/micro/ring.ts [--tiny] [--json]
 */

import assert from 'node:assert/strict';
import { bench, do_not_optimize, group, run } from 'mitata';
import { attachMemory, RingBuffer } from '../../core/index.ts';

const isTiny = process.argv.includes('--tiny');
const RECORDS = isTiny ? 10_000 : 1_000_000;
const CAPACITY = 1_024;
const memory = attachMemory(new SharedArrayBuffer(RingBuffer.bytesFor(CAPACITY)));
const ring = RingBuffer.create(memory, 0, CAPACITY);
const { f64 } = memory;

/** Passes `RECORDS` numbers through, `runLength` at a time; returns their sum weighted by position. */
function throughRing(runLength: number): number {
  let sum = 0;
  let taken = 0;
  for (let sent = 0; sent < RECORDS; ) {
    for (let n = 0; n < runLength && sent < RECORDS; n++) {
      const at = ring.tryClaim();
      if (at === 0) break;
      f64[at >>> 3] = sent++;
      ring.publish();
    }
    for (let at = ring.tryTake(); at !== 0; at = ring.tryTake()) {
      sum += (f64[at >>> 3] as number) * (1 + (taken++ % 7));
      ring.release();
    }
  }
  return sum;
}

function throughArray(runLength: number): number {
  const queue: number[] = [];
  let sum = 0;
  let taken = 0;
  for (let sent = 0; sent < RECORDS; ) {
    for (let n = 0; n < runLength && sent < RECORDS; n++) queue.push(sent++);
    for (let value = queue.shift(); value !== undefined; value = queue.shift()) sum += value * (1 + (taken++ % 7));
  }
  return sum;
}

let expected = 0;
for (let n = 0; n < RECORDS; n++) expected += n * (1 + (n % 7));
for (const runLength of [1, 64, CAPACITY]) {
  assert.equal(throughRing(runLength), expected);
  assert.equal(throughArray(runLength), expected);
}
console.log('verified');

if (!isTiny) {
  for (const runLength of [1, 64]) {
    group(`${RECORDS} records, ${runLength} at a time`, () => {
      bench('RingBuffer', () => do_not_optimize(throughRing(runLength))).baseline(true);
      bench('array as a queue', () => do_not_optimize(throughArray(runLength)));
    });
  }
  await run(process.argv.includes('--json') ? { format: 'json' } : {});
}
