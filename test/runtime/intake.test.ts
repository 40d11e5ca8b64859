/** Intake: what an epoch takes in, also where it is to be cut at given places; and when a partition counts as idle. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { createMemory, type SharedMemory, SlabAllocator } from '../../core/index.ts';
import { type Chunk, FRAME, frameBytes, type SourceContext } from '../../io/index.ts';
import type { EpochCut } from '../../runtime/epoch/partitions.ts';
import { Intake } from '../../runtime/job/intake.ts';
import { fc } from '../seed.ts';

const CHUNK_BYTES = 1 << 12;

interface Bench {
  readonly intake: Intake;
  readonly context: SourceContext;
  /** Frames of the chunks handed on so far, as `partition:first-next`. */
  readonly frames: string[];
  readonly events: string[];
  clock: number;
  /** Gives the memory of chunks back, as workers do. */
  work(): void;
}

function bench(partitions: number, limits: { creditBytes?: number; epochBytes?: number } = {}): Bench {
  const memory = createMemory(8 << 20);
  const chunks: Chunk[] = [];
  const frames: string[] = [];
  const events: string[] = [];
  const made = { clock: 0 };
  const intake: Intake = new Intake(
    new SlabAllocator(memory),
    { chunkBytes: CHUNK_BYTES, creditBytes: limits.creditBytes ?? 1 << 20, epochBytes: limits.epochBytes ?? 1 << 20 },
    {
      chunk: (_, chunk) => {
        chunks.push(chunk);
        frames.push(...framesOf(memory, chunk));
      },
      began: () => events.push('began'),
      epochFull: () => events.push('full'),
      cutReached: () => events.push('reached'),
      ended: (_, partition) => events.push(`end ${partition}`),
      failed: (_, error) => events.push((error as Error).message),
      waiting: (_, what) => events.push(`waiting ${what}`),
    },
    () => made.clock,
  );
  intake.addSource(partitions);
  const context = intake.context(0, { drain: false, signal: new AbortController().signal });
  const work = (): void => {
    for (const chunk of chunks.splice(0)) intake.chunkDone(chunk.address);
  };
  return Object.assign(made, { intake, context, frames, events, work });
}

function framesOf(memory: SharedMemory, chunk: Chunk): string[] {
  const found: string[] = [];
  for (let at = chunk.address; at < chunk.address + chunk.byteLength; at += frameBytes(memory.u32[(at + FRAME.bodyBytes) >>> 2] as number)) {
    found.push(`${chunk.partition}:${memory.f64[(at + FRAME.first) >>> 3]}-${memory.f64[(at + FRAME.next) >>> 3]}`);
  }
  return found;
}

const body = (bytes = 10) => new Uint8Array(bytes);
const at = (...positions: number[]): EpochCut => ({ positions, ended: positions.map(() => false) });

async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  promise.then(() => {
    settled = true;
  });
  await turn();
  return settled;
}

describe('an epoch that is to be cut where it was', () => {
  test('takes in what lies before its cuts, holds back what lies behind, and has it all in the next', async () => {
    const { intake, context, frames, events } = bench(2);
    intake.cutAt(at(20, 10));
    assert.equal(context.emit(0, body(), 0, 10), true);
    assert.equal(context.emit(0, body(), 10, 20), false, 'no credit for one that has come to its cut');
    assert.equal(await isSettled(context.credit(0)), false);
    // Already on its way.
    assert.equal(context.emit(0, body(), 20, 30), false);
    assert.equal(context.emit(0, body(), 30, 45), false);
    assert.equal(intake.isCutReached, false);
    const waiting = context.credit(0);
    assert.equal(await isSettled(context.credit(1)), true, 'the other goes on');
    context.emit(1, body(), 0, 10);
    assert.equal(intake.isCutReached, true);
    assert.deepEqual(events, ['began', 'reached']);
    intake.endEpoch();
    assert.deepEqual(frames, ['0:0-10', '0:10-20', '1:0-10']);
    frames.length = 0;
    intake.cutAt(at(30, 10));
    assert.equal(intake.isCutReached, true);
    assert.equal(await isSettled(waiting), false);
    intake.endEpoch();
    assert.deepEqual(frames, ['0:20-30']);
    intake.cutAt(undefined);
    assert.equal(await isSettled(waiting), true);
    intake.endEpoch();
    assert.deepEqual(frames, ['0:20-30', '0:30-45']);
    assert.equal(intake.partitions[0]?.position, 45);
  });

  test('credit that one partition has used up comes back for the others: nobody waits for ever', async () => {
    const { intake, context, frames, work } = bench(3, { creditBytes: 4 * CHUNK_BYTES, epochBytes: 2 * CHUNK_BYTES });
    const ends = [4_000, 40_000, 90_000];
    intake.cutAt(at(...ends));
    const read = async (partition: number): Promise<void> => {
      for (let offset = 0; offset < 100_000; offset += 500) {
        if (!context.emit(partition, body(500), offset, offset + 500)) await context.credit(partition);
        await turn();
      }
    };
    const reading = Promise.all([0, 1, 2].map(read));
    for (let n = 0; n < 5_000 && !intake.isCutReached; n++) {
      await turn();
      work();
    }
    assert.equal(intake.isCutReached, true);
    intake.endEpoch();
    assert.deepEqual(
      [0, 1, 2].map((partition) => frames.filter((frame) => frame.startsWith(`${partition}:`)).length * 500),
      ends,
    );
    intake.release();
    await reading;
  });

  test('of a random stream: the same frames in the same epochs, and the same chunks', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ partition: fc.integer({ min: 0, max: 2 }), rows: fc.integer({ min: 1, max: 9 }), bytes: fc.integer({ min: 1, max: 3_000 }) }), {
          maxLength: 60,
        }),
        fc.array(fc.integer({ min: 0, max: 60 }), { maxLength: 5 }),
        (sends, ends) => {
          const epochs: string[][] = [];
          const cuts: EpochCut[] = [];
          const first = bench(3);
          const positions = [0, 0, 0];
          const frames = sends.map(({ partition, rows, bytes }, n) => {
            const from = positions[partition] as number;
            positions[partition] = from + rows;
            return { n, partition, from, to: from + rows, bytes };
          });
          const cut = (of: Bench): void => {
            of.intake.endEpoch();
            of.work();
            epochs.push(of.frames.splice(0).sort());
          };
          for (const { n, partition, from, to, bytes } of frames) {
            first.context.emit(partition, body(bytes), from, to);
            if (ends.includes(n)) {
              cut(first);
              cuts.push(at(...first.intake.partitions.map(({ position }) => position ?? 0)));
            }
          }
          cut(first);
          const expected = epochs.splice(0);
          // The other way round: one partition after the other.
          const second = bench(3);
          second.intake.cutAt(cuts.shift());
          const reached = (): void => {
            while (second.intake.isCutReached) {
              cut(second);
              second.intake.cutAt(cuts.shift());
            }
          };
          reached();
          for (const { partition, from, to, bytes } of [...frames].sort((a, b) => b.partition - a.partition || a.n - b.n)) {
            second.context.emit(partition, body(bytes), from, to);
            reached();
          }
          cut(second);
          assert.deepEqual(epochs, expected);
        },
      ),
    );
  });

  test('a partition that had ended there is waited for until it has ended again, or has more', async () => {
    for (const more of [false, true]) {
      const { intake, context } = bench(1);
      intake.cutAt({ positions: [10], ended: [true] });
      assert.equal(context.emit(0, body(), 0, 10), true, 'it has to go on to see whether it ends');
      assert.equal(intake.isCutReached, false);
      if (more) assert.equal(context.emit(0, body(), 10, 20), false);
      else context.end(0);
      assert.equal(intake.isCutReached, true);
    }
  });

  test('rows that are gone, or lie otherwise, are an error', () => {
    const cases: [string, (context: SourceContext) => void, RegExp][] = [
      ['a frame over the cut', (context) => context.emit(0, body(), 5, 25), /partition 0 was cut at 20, but what was read now goes from 5 to 25/],
      ['a gap', (context) => context.emit(0, body(), 30, 40), /cut at 20, but what was read now goes from 30 to 40/],
      ['an early end', (context) => context.end(0), /cut at 20, but it ends at 0/],
      ['a shorter log', (context) => void (context.emit(0, body(), 0, 10), context.high(0, 10)), /cut at 20, but it ends at 10/],
    ];
    for (const [what, bring, message] of cases) {
      const { intake, context, events } = bench(1);
      intake.cutAt(at(20));
      bring(context);
      assert.match(events.join('\n'), message, what);
      assert.match(events.join('\n'), /delete the journal/, what);
      assert.equal(intake.isCutReached, false);
    }
  });

  test('where reading begins at the cut there is nothing to wait for', () => {
    const { intake, events } = bench(2);
    intake.startAt(0, 50);
    intake.startAt(1, 7);
    intake.cutAt(at(40, 7));
    assert.equal(intake.isCutReached, true);
    assert.deepEqual(events, ['reached']);
  });
});

describe('idle', () => {
  test('is a partition whose source goes on looking and finds nothing', () => {
    const made = bench(1);
    const { intake, context } = made;
    const [state] = intake.partitions;
    assert.ok(state);
    context.emit(0, body(), 0, 10);
    made.clock = 100;
    assert.equal(intake.idleForMs(state), 0, 'nobody has looked');
    context.high(0, 10);
    assert.equal(intake.idleForMs(state), 100);
    made.clock = 5_000;
    assert.equal(intake.idleForMs(state), 100, 'a broker that does not answer makes nobody idle');
    context.high(0, 12);
    assert.equal(intake.idleForMs(state), 0, 'there are rows that were not read');
    context.emit(0, body(), 10, 12);
    made.clock = 5_040;
    context.high(0, 12);
    assert.equal(intake.idleForMs(state), 40);
  });

  test('is none whose rows have not come yet', () => {
    const made = bench(1);
    const { intake, context } = made;
    const [state] = intake.partitions;
    assert.ok(state);
    intake.startAt(0, 5);
    made.clock = 500;
    context.high(0, 30);
    assert.equal(intake.idleForMs(state), 0);
    made.clock = 700;
    context.high(0, 5);
    assert.equal(intake.idleForMs(state), 700);
  });

  test('is nobody under back-pressure, nor for having been under it', () => {
    for (const limits of [{ creditBytes: 200 }, { epochBytes: 200 }]) {
      const made = bench(2, limits);
      const { intake, context, work } = made;
      const [, quiet] = intake.partitions;
      assert.ok(quiet);
      context.high(1, 0);
      assert.equal(context.emit(0, body(400), 0, 10), false);
      made.clock = 60_000;
      context.high(1, 0);
      assert.equal(intake.idleForMs(quiet), 0, 'there is no credit');
      intake.endEpoch();
      work();
      assert.equal(intake.idleForMs(quiet), 0, 'there is again, but nobody has had time to bring anything');
      made.clock = 60_300;
      context.high(1, 0);
      assert.equal(intake.idleForMs(quiet), 300);
    }
  });
});

describe('a partition that another member of the group has got', () => {
  test('with rows of it that are read and not committed: the job ends, and says which', () => {
    const { intake, context, events } = bench(2);
    context.assigned([0, 1]);
    context.emit(1, body(10), 0, 5);
    intake.endEpoch();
    intake.committed([0, 5]);
    context.emit(1, body(10), 5, 8);
    assert.deepEqual(events, ['began', 'began']);
    context.assigned([0]);
    assert.match(events.at(-1) as string, /^Partition 1 was given to another member of the group, after its rows from offset 5 to 8 were read here/);
  });

  test('with nothing read since the last commit: frames that still come are not taken in, until it is ours again', () => {
    const { intake, context, frames, events } = bench(2);
    context.emit(1, body(10), 0, 5);
    intake.endEpoch();
    intake.committed([0, 5]);
    context.assigned([0]);
    context.emit(1, body(10), 5, 8);
    context.emit(0, body(10), 0, 2);
    intake.endEpoch();
    assert.deepEqual(frames, ['1:0-5', '0:0-2']);
    context.assigned([0, 1]);
    context.emit(1, body(10), 5, 8);
    intake.endEpoch();
    assert.deepEqual(frames, ['1:0-5', '0:0-2', '1:5-8']);
    assert.deepEqual(events, ['began', 'began', 'began']);
  });
});

test('thousands of partitions fit into little memory; where they do not, the message names them', () => {
  for (const [bytes, fits] of [
    [32 << 20, true],
    [4 << 20, false],
  ] as const) {
    const intake = new Intake(
      new SlabAllocator(createMemory(bytes)),
      { chunkBytes: 1 << 20, creditBytes: bytes / 4, epochBytes: 1 << 20 },
      { chunk() {}, began() {}, epochFull() {}, cutReached() {}, ended() {}, failed() {}, waiting() {} },
      () => 0,
    );
    intake.addSource(2_000);
    intake.limitChunks(4 << 10);
    const context = intake.context(0, { drain: false, signal: new AbortController().signal });
    const take = () => {
      for (let partition = 0; partition < 2_000; partition++) context.emit(partition, new Uint8Array(100), 0, 1);
    };
    if (fits) take();
    else
      assert.throws(take, {
        code: 'ERR_MILLRACE_MEMORY',
        message: /rows of one more partition, .* rows of \d+ partitions \(of 2000\)\. .*read fewer partitions in one job/,
      });
  }
});
