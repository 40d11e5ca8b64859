/** The log, exactly-once: what readers see, before and after topics that were written at-least-once, and what is refused. */

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { utf8 } from '../../core/index.ts';
import { json } from '../../io/json.ts';
import { LogWriter, log, readLog } from '../../io/log/index.ts';
import type { SourceReader } from '../../io/source.ts';
import { kafkaBatch, kafkaDecode } from './record-batch-harness.ts';

const root = await mkdtemp(join(tmpdir(), 'millrace-exactly-once-'));
after(() => rm(root, { recursive: true, force: true }));
let folders = 0;
const folder = () => join(root, String(folders++));

const open = (dir: string, guarantee: 'at-least-once' | 'exactly-once', pipeline = 'p') =>
  LogWriter.open(dir, 't', { partitions: 2, segmentBytes: 400, guarantee, pipeline });

/** Opens exactly-once at a checkpoint. */
async function resume(dir: string, checkpoint: number, pipeline?: string): Promise<LogWriter> {
  const writer = await open(dir, 'exactly-once', pipeline);
  try {
    await writer.recover(checkpoint);
  } catch (error) {
    await writer.close();
    throw error;
  }
  return writer;
}

async function write(writer: LogWriter, ...rows: string[]): Promise<void> {
  for (const [i, row] of rows.entries()) {
    const bytes = await kafkaBatch([{ key: null, value: Buffer.from(row), timestamp: 0 }]);
    await writer.write({ epoch: 0, unit: 0, partition: i % 2, rowCount: 1, bytes: new Uint8Array(bytes) });
  }
}

async function rowsOf(dir: string): Promise<string[]> {
  const rows: string[] = [];
  for await (const { bytes } of readLog(dir, 't')) for (const { value } of (await kafkaDecode(bytes)).records) rows.push(String(value));
  return rows;
}

/** Follows the topic from the beginning. */
class Follower {
  readonly #frames: { partition: number; first: number; next: number; bytes: Uint8Array }[] = [];
  readonly highs = new Map<number, number>();
  #looks = 0;
  #reader: SourceReader | undefined;
  failure: unknown;

  static async open(dir: string): Promise<Follower> {
    const follower = new Follower();
    follower.#reader = await log.source({ dir, topic: 't', value: json({ row: utf8 }) }).open({
      drain: false,
      signal: new AbortController().signal,
      emit: (partition, bytes, first, next) => {
        follower.#frames.push({ partition, first, next, bytes: new Uint8Array(bytes) });
        return true;
      },
      credit: async () => {},
      end: () => {},
      high: (partition, end) => {
        follower.#looks++;
        follower.highs.set(partition, end);
      },
      assigned: () => {},
      fail: (error) => {
        follower.failure = error;
      },
    });
    follower.#reader.start();
    return follower;
  }

  /** What it has got, after it has looked at every partition twice more. */
  async rows(): Promise<string[]> {
    const until = this.#looks + 8;
    while (this.#looks < until && this.failure === undefined) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(this.failure, undefined);
    const rows: string[] = [];
    for (const partition of [0, 1]) {
      let next = 0;
      for (const frame of this.#frames.filter((of) => of.partition === partition)) {
        assert.equal(frame.first, next);
        next = frame.next;
        for (const { value } of (await kafkaDecode(frame.bytes)).records) rows.push(String(value));
      }
    }
    return rows;
  }

  close = () => this.#reader?.close();
}

test('readers see a checkpoint when it is committed, all partitions at once, and never what is dropped', async () => {
  const dir = folder();
  let writer = await resume(dir, -1);
  const follower = await Follower.open(dir);
  const both = async (expected: string[], what: string) => {
    assert.deepEqual(await rowsOf(dir), expected, what);
    assert.deepEqual(await follower.rows(), expected, `following: ${what}`);
  };
  await write(writer, 'a0', 'a1');
  await both([], 'written');
  await writer.prepare(3);
  await both([], 'prepared');
  await writer.commit(3);
  await both(['a0', 'a1'], 'committed');
  await writer.commit(3);
  // Rows that a crash leaves behind, over several segments, half of a batch at their end.
  await write(writer, ...Array.from({ length: 20 }, (_, i) => `lost ${i}`));
  await both(['a0', 'a1'], 'more is written');
  await writer.prepare(5);
  await writer.close();
  writer = await resume(dir, 3);
  await both(['a0', 'a1'], 'prepared, and not decided');
  await write(writer, 'b0', 'b1', 'b2');
  await writer.prepare(4);
  await writer.close();
  writer = await resume(dir, 4);
  await both(['a0', 'b0', 'b2', 'a1', 'b1'], 'prepared, and decided');
  assert.deepEqual([...follower.highs.values()].sort(), [2, 3]);
  await writer.close();
  await follower.close();
});

test('a checkpoint without rows costs no write, and recovery to it finds the rows before', async () => {
  const dir = folder();
  let writer = await resume(dir, -1);
  await write(writer, 'a');
  await writer.prepare(0);
  await writer.commit(0);
  const before = await readFile(join(dir, 't', 'stable-offsets'));
  await writer.prepare(9);
  await writer.commit(9);
  assert.deepEqual(await readFile(join(dir, 't', 'stable-offsets')), before);
  await writer.close();
  writer = await resume(dir, 9);
  assert.deepEqual(await rowsOf(dir), ['a']);
  await writer.close();
});

test('a topic that was written at-least-once goes on exactly-once, and back', async () => {
  const dir = folder();
  let writer = await open(dir, 'at-least-once');
  const follower = await Follower.open(dir);
  const both = async (expected: string[], what: string) => {
    assert.deepEqual((await rowsOf(dir)).sort(), expected, what);
    assert.deepEqual((await follower.rows()).sort(), expected, `following: ${what}`);
  };
  await write(writer, 'a0', 'a1');
  await both(['a0', 'a1'], 'at-least-once: visible at once');
  await writer.close();

  writer = await resume(dir, 7);
  await write(writer, 'b0', 'b1', 'b2', 'b3');
  await both(['a0', 'a1'], 'exactly-once: not before the commit');
  await writer.prepare(8);
  await write(writer, 'c0');
  await writer.close();

  // It may have been decided, so at-least-once keeps it; what no checkpoint has comes again.
  writer = await open(dir, 'at-least-once');
  await both(['a0', 'a1', 'b0', 'b1', 'b2', 'b3'], 'at-least-once again');
  await write(writer, 'd0');
  await both(['a0', 'a1', 'b0', 'b1', 'b2', 'b3', 'd0'], 'and visible at once');
  await writer.close();

  writer = await resume(dir, 8);
  await write(writer, 'e0', 'e1');
  await both(['a0', 'a1', 'b0', 'b1', 'b2', 'b3', 'd0'], 'exactly-once again');
  await writer.prepare(9);
  await writer.commit(9);
  await both(['a0', 'a1', 'b0', 'b1', 'b2', 'b3', 'd0', 'e0', 'e1'], 'committed');
  await writer.close();
  await follower.close();
});

test('another pipeline appends behind what was committed, and is refused where something is undecided', async () => {
  const dir = folder();
  let writer = await resume(dir, -1, 'one');
  await write(writer, 'a0', 'a1');
  await writer.prepare(50);
  await writer.commit(50);
  await writer.close();
  writer = await resume(dir, -1, 'two');
  await write(writer, 'b0', 'b1');
  await writer.prepare(0);
  await writer.close();
  await assert.rejects(resume(dir, 50, 'one'), { code: 'ERR_MILLRACE_CHECKPOINT', message: /The pipeline "two" has rows .* for its checkpoint 0/ });
  assert.deepEqual(await rowsOf(dir), ['a0', 'a1']);
  await (await resume(dir, 0, 'two')).close();
  await (await resume(dir, 50, 'one')).close();
  assert.deepEqual(await rowsOf(dir), ['a0', 'b0', 'a1', 'b1']);
});

test('a job that resumes before what readers have seen is refused; so are calls in the wrong order', async () => {
  const dir = folder();
  const writer = await resume(dir, -1);
  await write(writer, 'a');
  await writer.prepare(5);
  await assert.rejects(writer.prepare(6), { code: 'ERR_MILLRACE_SINK', message: /before checkpoint 5 was committed/ });
  await writer.commit(5);
  await write(writer, 'b');
  await assert.rejects(writer.prepare(5), { code: 'ERR_MILLRACE_SINK', message: /checkpoint 5, which was committed without them/ });
  await assert.rejects(open(dir, 'exactly-once'), { code: 'ERR_MILLRACE_FILE', message: /being written by/ });
  await writer.close();
  await assert.rejects(resume(dir, 4), { code: 'ERR_MILLRACE_CHECKPOINT', message: /up to checkpoint 5.*resumes from checkpoint 4/ });
  await assert.rejects(resume(dir, -1), { code: 'ERR_MILLRACE_CHECKPOINT', message: /resumes from nothing/ });
  assert.deepEqual(await rowsOf(dir), ['a']);
  const early = await open(dir, 'exactly-once');
  await assert.rejects(write(early, 'c'), { code: 'ERR_MILLRACE_SINK', message: /before recover/ });
  await assert.rejects(early.prepare(6), { code: 'ERR_MILLRACE_SINK', message: /before recover/ });
  await early.close();
  const lax = await open(dir, 'at-least-once');
  await assert.rejects(lax.recover(5), { code: 'ERR_MILLRACE_SINK', message: /not opened for exactly-once/ });
  await lax.close();
});

test('a flipped bit in one state of the stable offsets leaves the other; damage to both is refused', async () => {
  const dir = folder();
  const writer = await resume(dir, -1);
  for (const checkpoint of [0, 1]) {
    await write(writer, `row ${checkpoint}`);
    await writer.prepare(checkpoint);
    await writer.commit(checkpoint);
  }
  await writer.close();
  const path = join(dir, 't', 'stable-offsets');
  const good = await readFile(path);
  // Which slot is newest follows from the texts, not from the code under test.
  const sequences = [0, 1].map((slot) => Number(/"sequence":(\d+)/.exec(good.toString('latin1', (slot * good.length) / 2))?.[1]));
  const newest = (sequences[0] as number) > (sequences[1] as number) ? 0 : 1;
  for (let bit = 0; bit < 8 * 60; bit += 7) {
    for (const slots of [[newest], [1 - newest], [0, 1]]) {
      const bytes = Buffer.from(good);
      for (const slot of slots) {
        const at = (slot * good.length) / 2 + (bit >> 3);
        bytes[at] = (bytes[at] as number) ^ (1 << (bit & 7));
      }
      await writeFile(path, bytes);
      if (slots.length === 2) {
        await assert.rejects(rowsOf(dir), { code: 'ERR_MILLRACE_CORRUPT', message: /stable offsets in .* are damaged/ });
        continue;
      }
      // The state before the last commit has its rows as prepared.
      assert.deepEqual(await rowsOf(dir), slots[0] === newest ? ['row 0'] : ['row 0', 'row 1'], `bit ${bit}`);
    }
  }
  await assert.rejects(open(dir, 'exactly-once'), { code: 'ERR_MILLRACE_CORRUPT' });
  await assert.rejects(open(dir, 'at-least-once'), { code: 'ERR_MILLRACE_CORRUPT' });
  await writeFile(path, good);
  await (await resume(dir, 1)).close();
});

test('committed rows that are gone from a segment are refused, and nothing is cut off', async () => {
  const dir = folder();
  const writer = await resume(dir, -1);
  await write(writer, 'a0', 'a1');
  await writer.prepare(0);
  await writer.commit(0);
  await writer.close();
  const path = join(dir, 't', 'partition-0', '00000000000000000000.log');
  const bytes = await readFile(path);
  await writeFile(path, bytes.subarray(0, -1));
  await assert.rejects(resume(dir, 0), { code: 'ERR_MILLRACE_CORRUPT', message: /ends at offset 0, but rows up to offset 1 were committed/ });
  assert.equal((await readFile(path)).length, bytes.length - 1);
});

test('a topic whose making was interrupted gets all of its partitions', async () => {
  const dir = folder();
  const writer = await LogWriter.open(dir, 't', { partitions: 3, guarantee: 'exactly-once' });
  await writer.close();
  const fewer = await LogWriter.open(dir, 't', { partitions: 2 });
  assert.equal(fewer.info.partitionCount, 2);
  await write(fewer, 'a', 'b');
  await fewer.close();
  await assert.rejects(LogWriter.open(dir, 't', { partitions: 3 }), { code: 'ERR_MILLRACE_OPTION' });
  assert.deepEqual(await rowsOf(dir), ['a', 'b']);
});
