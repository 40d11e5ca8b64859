/**
 * A checkpoint directory on a disk that loses what was not synced, is full, or fails, at any operation: what a
 * restart finds, beside a model that knows what was promised.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MillraceError, type Rng, seededRng } from '../../core/index.ts';
import { CheckpointDir, type Manifest } from '../../runtime/checkpoint/index.ts';
import { manifestName } from '../../runtime/checkpoint/names.ts';
import { SimulatedDisk } from '../../runtime/disk/index.ts';
import type { JournalHead, JournalRecord } from '../../runtime/epoch/index.ts';
import { segmentName, segmentNamed } from '../../runtime/state-log/frames.ts';
import { caseCount, seedOf } from '../seed.ts';
import { manifestOf } from './checkpoint-manifests.ts';

const head: JournalHead = { pipeline: 'p', sources: ['log in-1'], base: { epoch: -1, nowMs: 0, positions: [[0]] } };
const WRITERS = 2;
const KEEP = 2;

/** What a write was called with, and what its segments held by then. */
interface Attempt {
  readonly manifest: Manifest;
  readonly contents: ReadonlyMap<string, string>;
}

class DiskFull extends Error {}

/** What a job has done on a disk, over all its runs. */
class Story {
  readonly disk: SimulatedDisk;
  readonly #rng: Rng;
  /** By name of the manifest. */
  readonly #attempts = new Map<string, Attempt>();
  /** The last one whose write had resolved. */
  #promised: Manifest | undefined;
  /** By epoch, as appended last. */
  readonly #records = new Map<number, JournalRecord>();
  readonly #contents = new Map<string, string>();
  #tag = 0;
  /** What became of runs, to see that the test tries what it is for. */
  readonly seen = { crashes: 0, retries: 0, failures: 0, newer: 0, fallbacks: 0, checkpoints: 0, lost: 0 };

  constructor(seed: number, rng: Rng) {
    this.disk = new SimulatedDisk(seed);
    this.#rng = rng;
  }

  /** Opens the directory, works, and is stopped, by a crash or an error. */
  async run(): Promise<void> {
    const rng = this.#rng;
    this.disk.onOperation = () => {};
    const dir = await this.#opened();
    // A run of which nothing is left has its number again.
    for (const name of [...this.#contents.keys()]) if ((segmentNamed(name)?.run as number) >= dir.run) this.#contents.delete(name);
    const [newest] = dir.candidates();
    const from = newest === undefined ? null : { run: newest.run, checkpoint: newest.checkpoint };
    let left = rng.int(60);
    let isDead = false;
    this.disk.onOperation = () => {
      if (--left >= 0) return;
      isDead = true;
      throw new Error('crashed');
    };
    // So many operations from now, the disk has a fault.
    if (rng.chance(0.4)) this.disk.failAfter(rng.int(40), rng.pick(['ENOSPC', 'EIO']));
    try {
      await this.#work(dir, from, newest?.checkpoint ?? -1);
    } catch (error) {
      // A worker that cannot append ends the job, too.
      const isOfWorker = error instanceof DiskFull;
      assert.ok(isOfWorker || (error instanceof MillraceError && error.code === 'ERR_MILLRACE_CHECKPOINT'), String(error));
      if (!isDead) {
        this.seen.failures++;
        assert.match((error as Error).message, /ENOSPC|EIO/);
      }
    }
    this.seen.crashes++;
    this.disk.onOperation = () => {
      throw new Error('a dead process writes');
    };
    this.disk.crash(rng.chance(0.7) ? 'machine' : 'process');
  }

  async #work(dir: CheckpointDir, from: Manifest['from'], after: number): Promise<void> {
    const rng = this.#rng;
    const { journal } = dir;
    const known = journal.records.at(-1)?.epoch ?? journal.head?.base.epoch ?? -1;
    await journal.begin(journal.head ?? head, journal.records);
    const sequences = Array.from({ length: WRITERS }, () => 1);
    /** Segments that the next manifest names, with their first epoch. */
    const live = new Map<string, number>();
    const appends: Promise<void>[] = [];
    let lastCheckpoint = after;
    for (let epoch = after + 1; epoch < after + 1 + 40; epoch++) {
      if (epoch > known) {
        const record: JournalRecord = { epoch, startMs: ++this.#tag, nowMs: epoch, positions: [[epoch]], states: [[0]] };
        this.#records.set(epoch, record);
        const done = journal.append(record, { sync: rng.chance(0.1) });
        done.catch(() => {});
        appends.push(done);
      }
      for (let writer = 0; writer < WRITERS; writer++) {
        if (rng.chance(0.2)) sequences[writer] = (sequences[writer] as number) + 1;
        const name = segmentName({ run: dir.run, worker: writer, from: sequences[writer] as number });
        const frame = `epoch ${epoch} of run ${dir.run}, ${'x'.repeat(rng.int(900))}\n`;
        this.#append(name, frame);
        if (!live.has(name)) live.set(name, epoch);
      }
      if (!rng.chance(0.3)) continue;
      await Promise.all(appends.splice(0));
      await this.#checkpoint(dir, from, epoch, live);
      journal.trim(lastCheckpoint);
      lastCheckpoint = epoch;
      // Bases have been written: what is closed is not needed any more.
      for (const name of [...live.keys()])
        if (!sequences.some((sequence, writer) => name === segmentName({ run: dir.run, worker: writer, from: sequence }))) live.delete(name);
      if (rng.chance(0.6)) await dir.prune(KEEP);
    }
  }

  #append(name: string, frame: string): void {
    try {
      this.disk.append(name, Buffer.from(frame));
    } catch (error) {
      throw new DiskFull((error as Error).message);
    }
    this.#contents.set(name, (this.#contents.get(name) ?? '') + frame);
  }

  async #checkpoint(dir: CheckpointDir, from: Manifest['from'], checkpoint: number, live: ReadonlyMap<string, number>): Promise<void> {
    const segments = [...live].map(([name, first]) => ({ name, from: first, to: checkpoint }));
    const manifest = manifestOf({ run: dir.run, checkpoint, from, segments });
    const contents = new Map(segments.map(({ name }) => [name, this.#contents.get(name) as string]));
    this.#attempts.set(manifestName(manifest), { manifest, contents });
    await dir.write(manifest).catch(async (error: Error) => {
      if (!error.message.includes('ENOSPC')) throw error;
      // Space has been made.
      await dir.write(manifest);
      this.seen.retries++;
    });
    this.#promised = manifest;
    this.seen.checkpoints++;
  }

  async #opened(): Promise<CheckpointDir> {
    const warnings: string[] = [];
    const dir = await CheckpointDir.on(this.disk, 'p', (message) => warnings.push(message));
    assert.deepEqual(warnings, [], 'a crash is no damage');
    assert.deepEqual(dir.damaged, []);
    const [newest] = dir.candidates();
    const promised = this.#promised;
    if (promised !== undefined) {
      assert.ok(newest !== undefined, `checkpoint ${promised.checkpoint} had been written, and there is none`);
      assert.ok(
        newest.run > promised.run || (newest.run === promised.run && newest.checkpoint >= promised.checkpoint),
        `checkpoint ${promised.checkpoint} of run ${promised.run} had been written, and the newest is ${newest.checkpoint} of run ${newest.run}`,
      );
      if (newest.checkpoint > promised.checkpoint) this.seen.newer++;
    }
    // What is found counts from now on: sinks are told.
    this.#promised = newest;
    for (const manifest of dir.candidates()) await this.#mustBeWhole(dir, manifest);
    if (newest !== undefined) this.#mustBeRepeatable(dir, newest);
    assert.ok(dir.candidates().length > 0 || newest === undefined);
    await this.#fallsBack(dir);
    return dir;
  }

  /** A manifest is one that was to be written, and its segments hold what they held then. */
  async #mustBeWhole(dir: CheckpointDir, manifest: Manifest): Promise<void> {
    const attempt = this.#attempts.get(manifestName(manifest));
    assert.deepEqual(manifest, attempt?.manifest);
    for (const { name } of manifest.segments) {
      const expected = attempt?.contents.get(name) as string;
      const bytes = await this.disk.read(name, Number.POSITIVE_INFINITY);
      const text = Buffer.from(bytes ?? []).toString();
      assert.ok(text.startsWith(expected), `${name} of checkpoint ${manifest.checkpoint} is not what it was`);
    }
    assert.ok(dir.run > manifest.run);
  }

  /** The journal has the decisions from the oldest checkpoint to the newest one, and true ones only. */
  #mustBeRepeatable(dir: CheckpointDir, newest: Manifest): void {
    const { head: found, records } = dir.journal;
    const oldest = dir.candidates().at(-1) as Manifest;
    assert.ok(
      found !== undefined && found.base.epoch <= oldest.checkpoint,
      `the journal begins behind epoch ${found?.base.epoch}, checkpoint ${oldest.checkpoint} is kept`,
    );
    assert.ok((records.at(-1)?.epoch ?? found.base.epoch) >= newest.checkpoint);
    for (const record of records) assert.deepEqual(record, this.#records.get(record.epoch));
    if (Math.max(...this.#records.keys()) > (records.at(-1)?.epoch ?? found.base.epoch)) this.seen.lost++;
  }

  /** With a bit of the newest manifest flipped, the one before is taken, or the start is refused. */
  async #fallsBack(dir: CheckpointDir): Promise<void> {
    const [newest, before] = dir.candidates();
    if (newest === undefined || this.#rng.chance(0.7)) return;
    const name = manifestName(newest);
    const bit = this.#rng.int(((await this.disk.read(name, Number.POSITIVE_INFINITY)) as Uint8Array).length * 8);
    this.disk.flip(name, bit);
    const warnings: string[] = [];
    const again = CheckpointDir.on(this.disk, 'p', (message) => warnings.push(message));
    if (before === undefined) await assert.rejects(again, { code: 'ERR_MILLRACE_CORRUPT' });
    else {
      assert.deepEqual((await again).candidates()[0], before);
      assert.equal(warnings.length, 1);
    }
    this.seen.fallbacks++;
    this.disk.flip(name, bit);
  }
}

describe('a disk that crashes', () => {
  test('the newest checkpoint that was written is there, whole, or a newer one; never a mixture', async () => {
    const totals = { crashes: 0, retries: 0, failures: 0, newer: 0, fallbacks: 0, checkpoints: 0, lost: 0 };
    const cases = caseCount(60);
    for (let i = 0; i < cases; i++) {
      const seed = seedOf(1_000) + i;
      const rng = seededRng(seed);
      rng.seek(1);
      const story = new Story(seed, rng);
      try {
        for (let runs = 0; runs < 6; runs++) await story.run();
      } catch (error) {
        throw new Error(`case ${i}, seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
      for (const key of Object.keys(totals) as (keyof typeof totals)[]) totals[key] += story.seen[key];
    }
    if (cases >= 60) for (const [what, count] of Object.entries(totals)) assert.ok(count > 0, `${what}: none in ${cases} cases`);
  });
});

test('what is written after a sync has failed is either refused or durable', async () => {
  let refused = 0;
  let durable = 0;
  for (let seed = 0; seed < 120; seed++) {
    const disk = new SimulatedDisk(seedOf(0) + seed);
    const dir = await CheckpointDir.on(disk, 'p', () => {});
    await dir.journal.begin(head, []);
    const name = segmentName({ run: 1, worker: 0, from: 1 });
    disk.append(name, Buffer.alloc(2_000, 1));
    disk.failAfter(seed % 5, 'EIO');
    await assert.rejects(dir.write(manifestOf({ run: 1, checkpoint: 1 })), { code: 'ERR_MILLRACE_CHECKPOINT', message: /EIO.*The disk has failed\. Check it/ });
    const isWritten = await dir.write(manifestOf({ run: 1, checkpoint: 1 })).then(
      () => true,
      () => false,
    );
    disk.crash('machine');
    if (!isWritten) {
      refused++;
      continue;
    }
    durable++;
    const again = await CheckpointDir.on(disk, 'p', () => {});
    assert.equal(again.candidates()[0]?.checkpoint, 1, `seed ${seed}`);
    assert.deepEqual(await disk.read(name, 9_999), Buffer.alloc(2_000, 1), `seed ${seed}`);
  }
  assert.ok(refused > 0 && durable > 0, `${refused} refused, ${durable} durable`);
});

describe('the simulated disk', () => {
  test('loses what was not synced, and nothing else', async () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 200; seed++) {
      const disk = new SimulatedDisk(seed);
      await disk.create('a', Buffer.from('synced '));
      await disk.sync('a');
      await disk.syncNames();
      disk.append('a', Buffer.from('not'));
      await disk.create('b', Buffer.alloc(1_200, 1));
      await disk.rename('a', 'c');
      disk.crash('machine');
      const names = (await disk.list()).map(({ name }) => name);
      const [kept] = names.filter((name) => name !== 'b');
      const text = Buffer.from((await disk.read(kept as string, 100)) as Uint8Array).toString();
      assert.ok(text === 'synced ' || text === 'synced not', text);
      const b = await disk.read('b', 2_000);
      seen.add(
        `${kept} ${text} ${b === undefined ? 'gone' : b.length === 0 ? 'empty' : b.length === 1_200 && b.every((byte) => byte === 1) ? 'whole' : 'torn'}`,
      );
    }
    assert.equal(seen.size, 16, [...seen].join('\n'));
  });

  test('after a sync that failed, what it lost stays lost', async () => {
    let lost = 0;
    for (let seed = 0; seed < 50; seed++) {
      const disk = new SimulatedDisk(seed);
      await disk.create('a', Buffer.from('x'));
      await disk.syncNames();
      disk.failAfter(0, 'EIO');
      await assert.rejects(disk.sync('a'), { code: 'EIO' });
      await disk.sync('a');
      assert.equal(Buffer.from((await disk.read('a', 9)) as Uint8Array).toString(), 'x');
      disk.crash('machine');
      if (Buffer.from((await disk.read('a', 9)) as Uint8Array).toString() !== 'x') lost++;
    }
    assert.ok(lost > 0 && lost < 50);
  });
});
