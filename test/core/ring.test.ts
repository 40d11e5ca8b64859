import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { attachMemory, MillraceError, RingBuffer } from '../../core/index.ts';
import { effortCount, fc } from '../seed.ts';

function ringOf(capacity: number, recordBytes = 64) {
  const memory = attachMemory(new SharedArrayBuffer(RingBuffer.bytesFor(capacity, recordBytes)));
  return { memory, ring: RingBuffer.create(memory, 0, capacity, recordBytes) };
}

test('ring: against an array, same operations, from a sequence just before the wrap', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 5 }),
      fc.constantFrom(8, 24, 64),
      fc.array(fc.constantFrom('put', 'take', 'peek', 'size'), { maxLength: 400 }),
      fc.boolean(),
      (shift, recordBytes, operations, nearWrap) => {
        const { memory, ring: made } = ringOf(1 << shift, recordBytes);
        if (nearWrap) memory.u32[64 >>> 2] = memory.u32[128 >>> 2] = 0xffff_fff0;
        const producer = nearWrap ? RingBuffer.attach(memory, 0) : made;
        const consumer = RingBuffer.attach(memory, 0);
        const model: number[] = [];
        let next = 1;
        for (const operation of operations) {
          if (operation === 'put') {
            const to = producer.tryClaim();
            assert.equal(to === 0, model.length === 1 << shift);
            assert.equal(producer.tryClaim(), to);
            if (to === 0) continue;
            memory.f64[to >>> 3] = next;
            memory.f64[(to + recordBytes - 8) >>> 3] = next;
            producer.publish();
            model.push(next++);
          } else if (operation === 'size') assert.equal(consumer.size, model.length);
          else {
            const from = consumer.tryTake();
            assert.equal(from === 0, model.length === 0);
            if (from === 0) continue;
            assert.equal(memory.f64[from >>> 3], model[0]);
            assert.equal(memory.f64[(from + recordBytes - 8) >>> 3], model[0]);
            if (operation === 'take') {
              consumer.release();
              model.shift();
            }
          }
        }
      },
    ),
  );
});

test('ring: one object serves both sides of one thread', () => {
  const { ring, memory } = ringOf(2);
  for (let round = 0; round < 7; round++) {
    memory.u32[ring.tryClaim() >>> 2] = round;
    ring.publish();
    assert.equal(memory.u32[ring.tryTake() >>> 2], round);
    ring.release();
    assert.equal(ring.tryTake(), 0);
  }
});

test('ring: two threads, every record whole, once and in order', async () => {
  const count = effortCount(300_000);
  const { memory, ring } = ringOf(64, 32);
  const worker = new Worker(new URL('./fixtures/ring-consumer.js', import.meta.url), { workerData: { buffer: memory.buffer, count } });
  await once(worker, 'message');
  const result = once(worker, 'message') as Promise<[{ taken: number; fault: string }]>;
  const words = ring.recordBytes / 4;
  let failed = false;
  worker.once('error', () => (failed = true));
  for (let n = 0; n < count && !failed; ) {
    const to = ring.tryClaim();
    if (to === 0) {
      await new Promise(setImmediate);
      continue;
    }
    for (let w = 0; w < words; w++) memory.u32[(to >>> 2) + w] = n * 31 + w;
    ring.publish();
    n++;
  }
  const [{ taken, fault }] = await result;
  assert.equal(fault, '');
  assert.equal(taken, count);
  assert.equal(ring.size, 0);
  await worker.terminate();
});

test('ring: what it refuses', () => {
  const memory = attachMemory(new SharedArrayBuffer(4096));
  for (const capacity of [0, 3, -4, 1.5, Number.NaN, 2 ** 31]) {
    assert.throws(
      () => RingBuffer.create(memory, 0, capacity),
      (e) => e instanceof MillraceError && e.code === 'ERR_MILLRACE_OPTION',
    );
  }
  for (const recordBytes of [0, 4, 12]) assert.throws(() => RingBuffer.bytesFor(4, recordBytes), /multiple of 8/);
  assert.throws(() => RingBuffer.create(memory, 0, 64), /does not fit/);
  assert.throws(() => RingBuffer.create(memory, 32, 4), /does not fit/);
  assert.throws(() => RingBuffer.attach(memory, 1024), /no ring/);
  const ring = RingBuffer.create(memory, 64, 1);
  assert.throws(() => ring.release(), /without a take/);
  ring.tryClaim();
  ring.publish();
  assert.throws(() => ring.publish(), /without a claim/);
});
