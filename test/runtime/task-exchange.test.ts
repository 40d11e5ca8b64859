/**
 * What tasks tell each other of event time, in any order in which it may come: nobody's clock passes what another one has
 * promised, whoever is idle holds nobody back, and a restart goes on where it was.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Batch, BatchBuilder, binary, createMemory, SlabAllocator, schema } from '../../core/index.ts';
import { type OwnTime, TaskExchange } from '../../runtime/engine/task-exchange.ts';
import type { Plan, TaskPlan } from '../../runtime/plan/index.ts';
import { caseCount, fc } from '../seed.ts';

const slabs = new SlabAllocator(createMemory(32 << 20));
const rows = schema({ value: binary });
const builder = new BatchBuilder(slabs, rows, 8);

/** Tasks, and the topic between them: by partition, what was sent. */
class Tasks {
  readonly topic: Uint8Array[][];
  readonly read: number[];
  readonly all: TaskExchange[];
  readonly #count: number;

  constructor(count: number) {
    this.#count = count;
    this.topic = Array.from({ length: count }, () => []);
    this.read = this.topic.map(() => 0);
    this.all = this.topic.map((_, index) => this.make(index));
  }

  make(index: number): TaskExchange {
    const task: TaskPlan = { index, count: this.#count, source: 0, sink: 0, direct: [[0]] };
    const plan = { exchanges: [{}], sources: [{ source: { name: 'tasks', schema: rows } }] } as unknown as Plan;
    return new TaskExchange(plan, task, slabs, {
      write: (batch: Batch) => {
        for (const { value, partition } of batch.toRows()) this.topic[partition as number]?.push((value as Uint8Array).slice());
      },
      flush: () => {},
    });
  }

  /** A task reads some of what was sent to it, and ends an epoch. */
  epoch(index: number, most: number, own: OwnTime, isLoaded = true): void {
    const task = this.all[index] as TaskExchange;
    const sent = this.topic[index] as Uint8Array[];
    for (const to = Math.min(sent.length, (this.read[index] as number) + most); (this.read[index] as number) < to; ) {
      builder.reset();
      builder.appendRow({ value: sent[this.read[index] as number] as Uint8Array });
      task.take(builder.finish());
      this.read[index] = (this.read[index] as number) + 1;
    }
    task.advance();
    task.tell([own], isLoaded);
  }

  /** Everybody reads everything, until nothing new is said. */
  settle(own: readonly OwnTime[], isLoaded: (index: number) => boolean = () => true): void {
    for (let round = 0; round < 4 * this.#count; round++) own.forEach((time, index) => this.epoch(index, Number.POSITIVE_INFINITY, time, isLoaded(index)));
  }
}

const count = fc.constantFrom(1, 2, 4);
const step = fc.record({ task: fc.nat(3), reads: fc.nat(6), forward: fc.nat(50), isIdle: fc.boolean(), restarts: fc.boolean() });

describe('event time among tasks', () => {
  test('no clock passes a promise, and none goes back', () => {
    fc.assert(
      fc.property(count, fc.array(step, { maxLength: 60 }), (tasks, steps) => {
        const scene = new Tasks(tasks);
        const own = scene.all.map(() => ({ time: Number.NEGATIVE_INFINITY, isIdle: true }));
        for (const { task, reads, forward, isIdle, restarts } of steps) {
          const at = task % tasks;
          const before = scene.all.map((each) => [each.timeOf(0), each.promisedOf(0)]);
          const now = own[at] as OwnTime;
          // A row that is older than what was promised is late where it is read, and does not count.
          const promised = (scene.all[at] as TaskExchange).promisedOf(0);
          const time = isIdle ? now.time : Math.max(now.time, Number.isFinite(promised) ? promised : 0) + forward;
          own[at] = { time, isIdle };
          scene.epoch(at, reads, own[at]);
          if (restarts) {
            const old = scene.all[at] as TaskExchange;
            const fresh = scene.make(at);
            fresh.restore([old.timeOf(0)], old.state);
            assert.deepEqual(fresh.state, old.state);
            scene.all[at] = fresh;
          }
          scene.all.forEach((each, index) => {
            const [clock, promise] = before[index] as [number, number];
            assert.ok(each.timeOf(0) >= clock && each.promisedOf(0) >= promise, 'it went back');
            for (const other of scene.all)
              assert.ok(each.timeOf(0) <= other.promisedOf(0), `a clock at ${each.timeOf(0)} passes a promise of ${other.promisedOf(0)}`);
          });
        }
      }),
      { numRuns: caseCount(200) },
    );
  });

  test('the last of those that are not idle counts; where all are idle, the first', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ time: fc.nat(1_000), isIdle: fc.boolean() }), { minLength: 4, maxLength: 4 }), (own) => {
        const scene = new Tasks(4);
        scene.settle(own);
        const active = own.filter(({ isIdle }) => !isIdle).map(({ time }) => time);
        const expected = active.length > 0 ? Math.min(...active) : Math.max(...own.map(({ time }) => time));
        for (const each of scene.all) assert.equal(each.timeOf(0), expected);
      }),
      { numRuns: caseCount(200) },
    );
  });

  test('tables are loaded when the last task has said so', () => {
    const scene = new Tasks(4);
    const own = { time: 0, isIdle: false };
    scene.settle([own, own, own, own], (index) => index !== 2);
    assert.deepEqual(
      scene.all.map(({ areLoaded }) => areLoaded),
      [false, false, false, false],
    );
    scene.settle([own, own, own, own]);
    assert.deepEqual(
      scene.all.map(({ areLoaded }) => areLoaded),
      [true, true, true, true],
    );
  });

  test('records that no task has written are refused', () => {
    const scene = new Tasks(2);
    for (const bytes of [
      [],
      [1],
      Array(16).fill(0),
      [1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
      [2, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0],
      [2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
      [1, ...Array(15).fill(0)],
      [1, ...Array(200).fill(0)],
    ]) {
      builder.reset();
      builder.appendRow({ value: Uint8Array.from(bytes) });
      assert.throws(() => scene.all[0]?.take(builder.finish()), { code: 'ERR_MILLRACE_SOURCE', message: /a record was not written by this pipeline/ });
    }
  });

  test('what cannot be read of the topic ends the task; the ends of transactions do not', () => {
    const [task] = new Tasks(2).all as [TaskExchange];
    const rejection = { offset: 7, rows: 1, message: 'The checksum is wrong' } as const;
    for (const reason of ['corrupt', 'undecodable', 'lost'] as const) {
      assert.throws(() => task.mustNotLose({ ...rejection, reason }), { code: 'ERR_MILLRACE_CORRUPT', message: /tasks, offset 7: .*The checksum is wrong/ });
    }
    task.mustNotLose({ ...rejection, reason: 'control' });
  });
});
