/**
 * The embedded log on a disk that lies: bits that flip, sectors of zeros, files that go. What a reader gives is compared with what was
 * written: each row comes out as it was, at its offset, or is counted as corrupt; a writer cuts nothing off that has good batches behind.
 */

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LogWriter, log } from '../../io/log/index.ts';
import { readPositions, writePositions } from '../../io/log/positions.ts';
import { segmentEnd } from '../../io/log/segment.ts';
import { text } from '../../io/text.ts';
import { type EmittedFrame, readSource } from './harness.ts';
import { DecoderHarness, kafkaBatch } from './record-batch-harness.ts';

const BATCHES = 50;
const ROWS = 10;
const HEADER_BYTES = 61;
const SECTOR = 512;
const harness = new DecoderHarness('kernels');

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-damage-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

const valueOf = (row: number) => `row ${row} of a log that is to be damaged`;

interface Written {
  readonly dir: string;
  readonly path: string;
  readonly whole: Buffer;
  /** Where each batch starts, and the end. */
  readonly starts: readonly number[];
}

async function written(t: TestContext, batches = BATCHES): Promise<Written> {
  const dir = await folder(t);
  const writer = await LogWriter.open(dir, 't', { partitions: 1 });
  const starts = [0];
  for (let batch = 0; batch < batches; batch++) {
    const records = Array.from({ length: ROWS }, (_, i) => ({ key: null, value: Buffer.from(valueOf(batch * ROWS + i)), timestamp: 1_700_000_000_000 + i }));
    const bytes = await kafkaBatch(records);
    await writer.write({ epoch: 0, unit: 0, partition: 0, rowCount: ROWS, bytes });
    starts.push((starts.at(-1) as number) + bytes.length);
  }
  await writer.commit(0);
  await writer.close();
  const path = join(dir, 't/partition-0/00000000000000000000.log');
  return { dir, path, whole: await readFile(path), starts };
}

/** What comes out, as a reader that drains has it. */
async function drained(dir: string): Promise<readonly EmittedFrame[]> {
  return (await readSource(log.source({ dir, topic: 't', value: text() }), { drain: true })).frames;
}

let judged = 0;

/**
 * What was damaged is told of, and nothing else is missing.
 */
async function judge({ dir, path, whole, starts }: Written, bytes: Buffer, what: string): Promise<void> {
  await writeFile(path, bytes);
  const isTouched = starts.slice(0, -1).map((start, i) => !bytes.subarray(start, starts[i + 1]).equals(whole.subarray(start, starts[i + 1])));
  const lastGood = isTouched.lastIndexOf(false);
  const { rows, rejections } = harness.decode(await drained(dir));
  const seen = new Set<number>();
  for (const { offset, value } of rows) {
    assert.equal(value, valueOf(offset), `${what}: the row at ${offset}`);
    assert.ok(!seen.has(offset), `${what}: ${offset} twice`);
    seen.add(offset);
  }
  for (let batch = 0; batch < isTouched.length; batch++) {
    if (isTouched[batch] === true) continue;
    for (let row = batch * ROWS; row < (batch + 1) * ROWS; row++) assert.ok(seen.has(row), `${what}: row ${row} of an untouched batch is missing`);
  }
  const corrupt = rejections.reduce((sum, { reason, rows: lost }) => sum + (reason === 'corrupt' ? lost : 0), 0);
  // Behind the last good batch damage cannot always be told from a torn write.
  const mustBeKnown = (lastGood + 1) * ROWS;
  const lost = Array.from({ length: mustBeKnown }, (_, row) => row).filter((row) => !seen.has(row)).length;
  assert.ok(corrupt >= lost && corrupt <= isTouched.length * ROWS - seen.size, `${what}: ${corrupt} corrupt, ${lost} lost, ${seen.size} seen`);

  const end = await segmentEnd(path, 0, true);
  // What is in no checksum and has no meaning to us may change: then nothing is lost.
  if (lost > 0) assert.ok(end.damage !== undefined, `${what}: damage passes for a torn write`);
  if (end.damage !== undefined && judged++ % 16 === 0) {
    await assert.rejects(
      LogWriter.open(dir, 't'),
      { code: 'ERR_MILLRACE_CORRUPT', message: /is damaged at byte \d+, from offset \d+ on.*Restore the file/ },
      what,
    );
    assert.equal((await stat(path)).size, bytes.length, `${what}: the writer cut something off`);
  }
  assert.ok(end.nextOffset >= mustBeKnown, `${what}: the writer would cut off from ${end.nextOffset}`);
}

function flipped(whole: Buffer, at: number, mask: number): Buffer {
  const bytes = Buffer.from(whole);
  bytes[at] = (bytes[at] as number) ^ mask;
  return bytes;
}

test('a bit flipped at every 64th byte', async (t) => {
  const stored = await written(t);
  for (let at = 0; at < stored.whole.length; at += 64) await judge(stored, flipped(stored.whole, at, 1 << ((at / 64) % 8)), `byte ${at}`);
});

for (const batch of [0, 25, BATCHES - 1]) {
  const step = batch === 25 ? 1 : 5;
  test(`every ${step === 1 ? '' : '5th '}bit of the header of batch ${batch} of ${BATCHES} flipped`, async (t) => {
    const stored = await written(t);
    const start = stored.starts[batch] as number;
    for (let bit = 0; bit < HEADER_BYTES * 8; bit += step) {
      await judge(stored, flipped(stored.whole, start + (bit >> 3), 1 << (bit & 7)), `bit ${bit & 7} of byte ${bit >> 3} of the header`);
    }
  });
}

test('512 zero bytes, from every place around a batch and a record', async (t) => {
  const stored = await written(t);
  const [from, to] = [stored.starts[24] as number, stored.starts[26] as number];
  for (let at = from; at < to; at += 23) {
    const bytes = Buffer.from(stored.whole);
    bytes.fill(0, at, at + SECTOR);
    await judge(stored, bytes, `zeros from ${at}`);
  }
  for (let at = 0; at < stored.whole.length; at += SECTOR * 8) {
    const bytes = Buffer.from(stored.whole);
    bytes.fill(0, at, at + SECTOR);
    await judge(stored, bytes, `zeros from ${at}`);
  }
});

test('damage in several places; bytes that are missing, and bytes too many', async (t) => {
  const stored = await written(t);
  const { whole, starts } = stored;
  const bytes = Buffer.from(whole);
  for (const batch of [3, 4, 20, 47]) bytes.writeInt32BE(77_777, (starts[batch] as number) + 8);
  await judge(stored, bytes, 'four lengths');
  const at = (starts[30] as number) + 100;
  for (const [what, changed, firstLost, rowsLost] of [
    ['a byte is missing', Buffer.concat([whole.subarray(0, at), whole.subarray(at + 1)]), 30, ROWS],
    ['a batch is missing', Buffer.concat([whole.subarray(0, starts[30]), whole.subarray(starts[31])]), 30, ROWS],
    ['a batch is there twice', Buffer.concat([whole.subarray(0, starts[31]), whole.subarray(starts[30])]), 31, 0],
    ['bytes too many between batches', Buffer.concat([whole.subarray(0, starts[30]), Buffer.from('hello'), whole.subarray(starts[30])]), 30, 0],
  ] as const) {
    await writeFile(stored.path, changed);
    const { rows, rejections } = harness.decode(await drained(stored.dir));
    const gone = Array.from({ length: rowsLost }, (_, i) => firstLost * ROWS + i);
    assert.deepEqual(
      rows.map(({ offset }) => offset),
      Array.from({ length: BATCHES * ROWS }, (_, i) => i).filter((row) => !gone.includes(row)),
      what,
    );
    for (const { offset, value } of rows) assert.equal(value, valueOf(offset), what);
    assert.deepEqual(
      rejections.map(({ reason, offset, rows: lost }) => ({ reason, offset, lost })),
      [{ reason: 'corrupt', offset: firstLost * ROWS, lost: Math.max(1, rowsLost) }],
      what,
    );
    await assert.rejects(LogWriter.open(stored.dir, 't'), { code: 'ERR_MILLRACE_CORRUPT' }, what);
  }
});

test('a reader that follows goes on behind damage, and waits at a torn end until a writer has cut it off', async (t) => {
  const { dir, path, whole, starts } = await written(t, 20);
  const bytes = Buffer.from(whole.subarray(0, (starts[19] as number) + 40));
  bytes.writeInt32BE(3, (starts[5] as number) + 8);
  await writeFile(path, bytes);
  const source = log.source({ dir, topic: 't', value: text() });
  const frames: EmittedFrame[] = [];
  let failure: unknown;
  const abort = new AbortController();
  const reader = await source.open({
    drain: false,
    signal: abort.signal,
    emit(partition, body, first, next, flags = 0, cut = 0) {
      frames.push({ partition, bytes: new Uint8Array(body), first, next, flags, cut });
      return true;
    },
    credit: async () => {},
    end: () => {},
    high: () => {},
    assigned: () => {},
    fail: (error) => {
      failure = error;
    },
  });
  reader.start();
  const until = async (next: number) => {
    while (frames.at(-1)?.next !== next) {
      if (failure !== undefined) throw failure;
      await sleep(5);
    }
  };
  await until(19 * ROWS);
  // The damage mended, as a writer wants it; the torn end cut off, and something else written there.
  bytes.set(whole.subarray(starts[5], starts[6]), starts[5]);
  await (async () => {
    const file = await import('node:fs/promises').then((fs) => fs.open(path, 'r+'));
    await file.write(whole, starts[5], (starts[6] as number) - (starts[5] as number), starts[5]);
    await file.close();
  })();
  const writer = await LogWriter.open(dir, 't');
  assert.deepEqual(writer.ends, [19 * ROWS]);
  await writer.write({
    epoch: 0,
    unit: 0,
    partition: 0,
    rowCount: 1,
    bytes: await kafkaBatch([{ key: null, value: Buffer.from(valueOf(190)), timestamp: 1 }]),
  });
  await writer.commit(0);
  await until(19 * ROWS + 1);
  const { rows, rejections } = harness.decode(frames);
  assert.deepEqual(
    rows.map(({ offset, value }) => value === valueOf(offset) && offset),
    Array.from({ length: 191 }, (_, i) => i).filter((row) => row < 50 || row >= 60),
  );
  assert.deepEqual(
    rejections.map(({ reason, rows: lost }) => [reason, lost]),
    [['corrupt', ROWS]],
  );
  // The topic goes: neither reader nor writer goes on as if nothing were.
  await rename(join(dir, 't'), join(dir, 'elsewhere'));
  while (failure === undefined) await sleep(5);
  assert.match(String(failure), /was removed, or replaced by another file, while it was read \(up to offset 191\)/);
  await writer.write({ epoch: 1, unit: 0, partition: 0, rowCount: 1, bytes: await kafkaBatch([{ key: null, value: Buffer.from('x'), timestamp: 1 }]) });
  await assert.rejects(writer.commit(1), { code: 'ERR_MILLRACE_SINK', message: /was removed, or replaced by another file, while it was written/ });
  await writer.close();
  await reader.close();
});

test('a topic that is made anew under its writer is not written to', async (t) => {
  const { dir, path, whole } = await written(t, 3);
  const writer = await LogWriter.open(dir, 't');
  await rm(join(dir, 't/partition-0'), { recursive: true });
  await mkdir(join(dir, 't/partition-0'));
  await writeFile(path, whole);
  await writer.write({ epoch: 1, unit: 0, partition: 0, rowCount: 1, bytes: await kafkaBatch([{ key: null, value: Buffer.from('x'), timestamp: 1 }]) });
  await assert.rejects(writer.commit(1), { code: 'ERR_MILLRACE_SINK', message: /replaced by another file/ });
  await writer.close();
});

test('every bit of the positions of a group flipped, and every length: refused, with what to do', async (t) => {
  const path = join(await folder(t), 'group.json');
  const positions = new Map([0, 1].map((partition) => [partition, { partition, offset: 4_711 + partition, metadata: `{"epoch":${partition},"é":"\\"}` }]));
  await writePositions(path, positions);
  const whole = await readFile(path);
  assert.deepEqual(await readPositions(path), positions);
  const refused = async (bytes: Uint8Array, what: string) => {
    await writeFile(path, bytes);
    await assert.rejects(readPositions(path), { code: 'ERR_MILLRACE_CHECKPOINT', message: /damaged.*Restore the file, or delete it/ }, what);
  };
  for (let bit = 0; bit < whole.length * 8; bit++) await refused(flipped(whole, bit >> 3, 1 << (bit & 7)), `bit ${bit & 7} of byte ${bit >> 3}`);
  for (let length = 0; length < whole.length; length++) await refused(whole.subarray(0, length), `${length} bytes`);
  await refused(Buffer.concat([whole, Buffer.from('\n')]), 'a byte too many');
  // As it was before there were checksums.
  await writeFile(path, `${JSON.stringify({ version: 1, positions: [...positions.values()] })}\n`);
  assert.deepEqual(await readPositions(path), positions);
  await refused(Buffer.from('{"version":3,"positions":[]}'), 'a later version');
});
