/**
 * A folder that is mirrored in a topic, without a broker: the topic is a list of records that is compacted now and then, its transactions
 * are committed or not. Runs write segments, make checkpoints and crash at any step; the next run has the old folder, an older copy of it, or
 * none. Whatever it was, the folder has what the last committed checkpoint had, byte for byte.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type SeekableRng, seededRng } from '../../core/index.ts';
import type { CheckpointTopic, TopicRecord, Transaction } from '../../io/index.ts';
import type { Manifest } from '../../runtime/checkpoint/index.ts';
import { encodeManifest } from '../../runtime/checkpoint/manifest-text.ts';
import { manifestName } from '../../runtime/checkpoint/names.ts';
import { PIECE_BYTES_MAX, TopicMirror } from '../../runtime/checkpoint/topic-mirror.ts';
import { SimulatedDisk } from '../../runtime/disk/index.ts';
import { segmentName } from '../../runtime/state-log/frames.ts';
import { caseCount, seedOf } from '../seed.ts';
import { manifestOf } from './checkpoint-manifests.ts';

/** Records with the offsets that they keep. Those of a transaction that was not committed are not there for readers. */
class ListedTopic implements CheckpointTopic {
  readonly name = 'topic state';
  readonly id: string = 'one';
  readonly transactions = { domain: 'lists', open: () => Promise.reject(new Error('not needed')) };
  records: (TopicRecord & { readonly offset: number })[] = [];
  next = 0;

  async end(): Promise<number> {
    return this.next;
  }

  async read(from: number, to: number, take: (records: readonly TopicRecord[], next: number) => Promise<void>): Promise<number> {
    const wanted = this.records.filter(({ offset }) => offset >= from && offset < to);
    for (let at = 0; at < wanted.length; at += 3) {
      const some = wanted.slice(at, at + 3);
      await take(some, (some.at(-1)?.offset as number) + 1);
    }
    return to;
  }

  async write(transaction: Transaction, records: readonly TopicRecord[]): Promise<void> {
    (transaction as Listed).pending.push(...records.map(({ key, value }) => ({ key, value: value === null ? null : value.slice() })));
  }

  /** What Kafka does when it likes: of what lies before `until`, the newest of each key stays; tombstones may go, too. */
  compact(until: number, dropsTombstones: boolean): void {
    const newest = new Map(this.records.map(({ key, offset }) => [key, offset]));
    this.records = this.records.filter(({ key, value, offset }) => offset >= until || (newest.get(key) === offset && !(dropsTombstones && value === null)));
  }

  async announce(): Promise<void> {}
  async holder(): Promise<undefined> {}
  async close(): Promise<void> {}
}

class Listed implements Transaction {
  readonly pending: TopicRecord[] = [];
  readonly #topic: ListedTopic;

  constructor(topic: ListedTopic) {
    this.#topic = topic;
  }

  async recover(): Promise<undefined> {}
  async close(): Promise<void> {}

  async commit(): Promise<void> {
    for (const record of this.pending.splice(0)) this.#topic.records.push({ ...record, offset: this.#topic.next++ });
    // The marker.
    this.#topic.next++;
  }
}

function bytesOf(rng: SeekableRng, length: number): Uint8Array {
  const first = rng.int(256);
  const step = 1 + rng.int(250);
  return Uint8Array.from({ length }, (_, i) => first + i * step);
}

/** Of each file the bytes that were there when the checkpoint was made. */
type Content = ReadonlyMap<string, Uint8Array>;

const isManifest = (name: string) => name.endsWith('.manifest');

async function isAsCommitted(disk: SimulatedDisk, committed: Content): Promise<void> {
  const names = (await disk.list()).map(({ name }) => name);
  for (const [name, bytes] of committed) {
    const found = Buffer.from((await disk.read(name, Number.POSITIVE_INFINITY)) ?? []);
    assert.ok(found.subarray(0, bytes.length).equals(bytes), `${name} of ${names.join(', ')} is not as it was committed`);
    if (isManifest(name)) assert.equal(found.length, bytes.length);
  }
  assert.equal(names.filter(isManifest).sort().at(-1), [...committed.keys()].filter(isManifest).at(-1), 'the newest manifest is that of the topic');
}

async function copyOf(disk: SimulatedDisk): Promise<SimulatedDisk> {
  const copy = new SimulatedDisk(1);
  for (const { name } of await disk.list()) await copy.create(name, (await disk.read(name, Number.POSITIVE_INFINITY)) as Uint8Array);
  return copy;
}

async function lives(seed: number): Promise<{ checkpoints: number; starts: number; bytes: number }> {
  const rng = seededRng(seed);
  const topic = new ListedTopic();
  let disk = new SimulatedDisk(1);
  let older: SimulatedDisk | undefined;
  let committed: Content = new Map();
  let newest: Manifest | undefined;
  const done = { checkpoints: 0, starts: 0, bytes: 0 };
  for (let run = 1; run <= 6; run++) {
    const mirror = await TopicMirror.open({ topic, disk, pipeline: 'p', report: () => {} });
    await mirror.follow();
    await mirror.settle();
    await isAsCommitted(disk, committed);
    done.starts++;
    const began = newest === undefined ? null : { run: newest.run, checkpoint: newest.checkpoint };
    let carried = newest?.segments ?? [];
    const own = segmentName({ run, worker: 0, from: run });
    disk.append(own, new Uint8Array(0));
    let epoch = newest?.checkpoint ?? -1;
    const crashAt = rng.int(8);
    for (let step = 0; ; step++) {
      // Now and then one piece is not enough.
      disk.append(own, bytesOf(rng, rng.int(20) === 0 ? PIECE_BYTES_MAX + rng.int(1_000) : rng.int(400)));
      if (rng.int(3) === 0) carried = carried.slice(1);
      epoch += 1 + rng.int(3);
      const segments = [...carried, { name: own, from: 0, to: epoch }];
      const manifest = manifestOf({ run, checkpoint: epoch, written: epoch, from: began, segments });
      const encoded = encodeManifest(manifest);
      await disk.create(manifestName(manifest), encoded);
      if (step === crashAt && rng.int(2) === 0) break;
      const transaction = new Listed(topic);
      await mirror.add(transaction, manifest, bytesOf(rng, rng.int(900)));
      if (step === crashAt) {
        // Parts of it reached the broker, and are aborted: offsets that nobody sees.
        topic.next += rng.int(5);
        break;
      }
      await transaction.commit();
      await mirror.committed();
      done.checkpoints++;
      newest = manifest;
      const content = new Map<string, Uint8Array>();
      for (const { name } of segments) {
        // What an earlier run wrote behind its last checkpoint counts for nobody.
        const before = committed.get(name);
        content.set(name, name !== own && before !== undefined ? before : ((await disk.read(name, Number.POSITIVE_INFINITY)) as Uint8Array));
      }
      content.set(manifestName(manifest), encoded);
      committed = content;
      // Prune: this checkpoint alone is kept.
      for (const { name } of await disk.list()) if (/\.(manifest|redo)$/.test(name) && !content.has(name)) await disk.remove(name);
      if (rng.int(4) === 0) topic.compact(rng.int(topic.next + 1), rng.int(2) === 0);
      if (rng.int(5) === 0) await mirror.keep();
      if (rng.int(6) === 0) older = await copyOf(disk);
    }
    // What was added and not committed is not noted.
    if (rng.int(4) === 0) await mirror.keep();
    done.bytes += mirror.costs.bytes;
    const next = rng.int(4);
    if (next === 0) disk = new SimulatedDisk(1);
    else if (next === 1 && older !== undefined) disk = await copyOf(older);
  }
  return done;
}

test('any run finds the last committed checkpoint, whatever its folder has', async (t) => {
  const first = seedOf(1);
  const total = { checkpoints: 0, starts: 0, bytes: 0 };
  for (let i = 0; i < caseCount(60); i++) {
    const { checkpoints, starts, bytes } = await lives(first + i).catch((error) => {
      throw new Error(`seed ${first + i}: ${(error as Error).message}`, { cause: error });
    });
    total.checkpoints += checkpoints;
    total.starts += starts;
    total.bytes += bytes;
  }
  t.diagnostic(JSON.stringify(total));
  assert.ok(total.checkpoints > total.starts, 'most runs have made some');
});

/** A checkpoint with one segment, in the folder and in the topic. */
async function made(topic: ListedTopic, disk: SimulatedDisk, mirror: TopicMirror, checkpoint: number, bytes: number): Promise<string[]> {
  const segment = segmentName({ run: 1, worker: 0, from: checkpoint });
  disk.append(segment, new Uint8Array(bytes));
  const manifest = manifestOf({ run: 1, checkpoint, written: checkpoint, segments: [{ name: segment, from: checkpoint, to: checkpoint }] });
  await disk.create(manifestName(manifest), encodeManifest(manifest));
  const transaction = new Listed(topic);
  await mirror.add(transaction, manifest, new Uint8Array(100));
  await transaction.commit();
  await mirror.committed();
  return [segment, manifestName(manifest)];
}

test('what was removed is removed in the topic, so that it does not grow with time', async () => {
  const topic = new ListedTopic();
  const disk = new SimulatedDisk(1);
  const mirror = await TopicMirror.open({ topic, disk, pipeline: 'p', report: () => {} });
  await mirror.settle();
  let names: string[] = [];
  for (let checkpoint = 0; checkpoint < 50; checkpoint++) {
    for (const name of names) await disk.remove(name);
    names = await made(topic, disk, mirror, checkpoint, 1_000);
  }
  topic.compact(topic.next, true);
  assert.ok(topic.records.length <= 4, `${topic.records.length} records`);
  const empty = new SimulatedDisk(1);
  const other = await TopicMirror.open({ topic, disk: empty, pipeline: 'p', report: () => {} });
  await other.settle();
  for (const name of names)
    assert.ok(
      (await empty.list()).some((file) => file.name === name),
      name,
    );
});

test('a folder with the newest is not read again; one that is damaged is; others are refused', async () => {
  const topic = new ListedTopic();
  const disk = new SimulatedDisk(1);
  const parts = { topic, disk, pipeline: 'p', report: () => {} };
  const mirror = await TopicMirror.open(parts);
  await mirror.settle();
  const [segment = ''] = await made(topic, disk, mirror, 5, 100_000);
  await mirror.keep();
  const again = await TopicMirror.open(parts);
  await again.settle();
  assert.equal(again.bytesRead, 0);
  const damaged = await TopicMirror.open({ ...parts, isDamaged: true });
  await damaged.settle();
  assert.ok(damaged.bytesRead > 100_000, 'all of it');
  await disk.create(segment, new Uint8Array(10));
  await (await TopicMirror.open(parts)).settle();
  assert.equal((await disk.read(segment, 1e9))?.length, 100_000, 'a segment that has become shorter is read again');
  const other = await TopicMirror.open({ ...parts, disk: new SimulatedDisk(1), pipeline: 'q' });
  const refused = (message: RegExp) => ({ code: 'ERR_MILLRACE_CHECKPOINT', message });
  await assert.rejects(other.settle(), refused(/has the checkpoints of the pipeline "p", not of "q"/));
  await assert.rejects(TopicMirror.open({ ...parts, pipeline: 'q' }), refused(/folder .* has checkpoints of the pipeline "p"/));
  const empty = Object.assign(new ListedTopic(), { id: 'two' });
  await assert.rejects(TopicMirror.open({ ...parts, topic: empty }), refused(/is empty, and the folder .* has checkpoints up to 5/));
  const strange = Object.assign(new ListedTopic(), { id: 'three' });
  strange.records.push({ key: 'page/1', value: Buffer.from('7'), offset: strange.next++ });
  const mixed = await TopicMirror.open({ ...parts, topic: strange, disk: new SimulatedDisk(1) });
  await assert.rejects(mixed.settle(), refused(/records that are not of checkpoints \(with the key "page\/1"\)/));
});
