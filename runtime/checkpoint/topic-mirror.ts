/**
 * A checkpoint directory whose content is in a topic as well, so that it outlives the machine. The job goes
 * on writing to the folder. With each checkpoint the topic gets what the files have grown by, in the
 * transaction that decides; the folder of a start is brought to what the topic has.
 *
 *   key                                   value
 *   pipeline                              {"format":1,"pipeline":"clicks"}     first of all
 *   segment-...-0000000007.redo 0         bytes of the file from 0 on
 *   segment-...-0000000007.redo 31488     bytes from there on
 *   epochs.journal 0                      the journal, whole, with each checkpoint
 *   checkpoint-...-000000120.manifest 0   the manifest: last of its checkpoint
 *
 * A file that is removed here is removed there with the next checkpoint. What the folder has of the topic is
 * noted in it from time to time (topic-index.ts), so a start with its old folder reads the rest only.
 *
 * Segments carry a checksum for each frame, manifests and journal their own, and so do the records on their
 * way: bytes that are not as they were written are found before they are used.
 */

import { assert, MillraceError, shown } from '../../core/index.ts';
import type { CheckpointTopic, TopicRecord, Transaction } from '../../io/index.ts';
import type { Disk, DiskFile } from '../disk/index.ts';
import { JOURNAL_FILE } from '../epoch/index.ts';
import { segmentNamed } from '../state-log/index.ts';
import { findCheckpoints, lineOf } from './found.ts';
import type { Manifest } from './manifest.ts';
import { encodeManifest } from './manifest-text.ts';
import { manifestName, parseManifestName } from './names.ts';
import { readTopicIndex, type TopicIndex, writeTopicIndex } from './topic-index.ts';

const FORMAT = 1;
const PIPELINE_KEY = 'pipeline';
/** Most bytes of a file in one record. */
export const PIECE_BYTES_MAX = 512 << 10;
/** Read from the folder, or sent, at a time. */
const HELD_BYTES_MAX = 4 << 20;
/** A start reads about this much again of what its folder has. */
const INDEX_BYTES = 8 << 20;
const REPORT_MS = 3_000;

export interface MirrorParts {
  readonly topic: CheckpointTopic;
  readonly disk: Disk;
  readonly pipeline: string;
  /** Gets a sentence when something takes long. */
  readonly report: (message: string) => void;
  /** What the folder has is damaged: all of it is read again. */
  readonly isDamaged?: boolean;
}

/** What a checkpoint has cost. */
export interface MirrorCosts {
  bytes: number;
  records: number;
}

export class TopicMirror {
  readonly #topic: CheckpointTopic;
  readonly #disk: Disk;
  readonly #pipeline: string;
  readonly #report: (message: string) => void;
  /** What the topic has of each file: where its pieces begin; and where the last one ends. */
  readonly #pieces = new Map<string, number[]>();
  readonly #ends = new Map<string, number>();
  /** Up to here the folder has what the topic has. */
  #offset = 0;
  #hasHead = false;
  /** The journal as the topic has it. */
  #journal = new Map<number, Uint8Array>();
  /** Manifests that the folder had at first. */
  readonly #before: ReadonlySet<string>;
  readonly #unsynced = new Set<string>();
  #sinceIndex = 0;
  /** What was added last may not be committed yet. */
  #isOpen = false;
  readonly costs: MirrorCosts = { bytes: 0, records: 0 };

  private constructor({ topic, disk, pipeline, report }: MirrorParts, before: ReadonlySet<string>) {
    this.#topic = topic;
    this.#disk = disk;
    this.#pipeline = pipeline;
    this.#report = report;
    this.#before = before;
  }

  /**
   * Looks at what a folder has.
   *
   * @throws MillraceError ERR_MILLRACE_CHECKPOINT when it is another pipeline's, or when it has checkpoints
   *   and the topic has none
   */
  static async open(parts: MirrorParts): Promise<TopicMirror> {
    const { topic, disk, pipeline } = parts;
    const { manifests, files } = await findCheckpoints(disk);
    const other = manifests.find(({ plan }) => plan.plan.pipeline !== pipeline);
    if (other !== undefined) {
      throw refused(
        `The folder ${disk.dir} has checkpoints of the pipeline ${shown(other.plan.plan.pipeline)}, and would be overwritten by what ${topic.name} has of ${shown(pipeline)}. Give each pipeline a folder of its own`,
      );
    }
    const mirror = new TopicMirror(parts, new Set(manifests.map(manifestName)));
    const end = await topic.end();
    const index = await readTopicIndex(disk);
    const isOfTopic = index !== undefined && index.topic === topic.id && index.offset <= end;
    if (end === 0 && manifests.length > 0 && !isOfTopic) {
      throw refused(
        `${topic.name} is empty, and the folder ${disk.dir} has checkpoints up to ${lineOf(manifests)[0]?.checkpoint}. If the topic was deleted, restore it. To go on from the folder, give checkpoint: { dir }. To begin anew, delete the folder`,
      );
    }
    if (!isOfTopic || parts.isDamaged === true || !isThere(index, manifests, files)) return mirror;
    mirror.#offset = index.offset;
    mirror.#hasHead = index.hasHead;
    for (const { name, pieces, end: bytes } of index.files) {
      mirror.#pieces.set(name, [...pieces]);
      mirror.#ends.set(name, bytes);
    }
    return mirror;
  }

  /** Names of what the topic has. */
  get files(): readonly string[] {
    return [...this.#pieces.keys()];
  }

  /** Bytes that have come from the topic. */
  bytesRead = 0;

  /**
   * Reads what the topic has got since the last call, into the folder.
   *
   * @throws MillraceError ERR_MILLRACE_CHECKPOINT when something else is in it
   */
  async follow(): Promise<void> {
    const end = await this.#topic.end();
    if (end <= this.#offset) return;
    const from = this.#offset;
    let reportedAtMs = performance.now();
    await this.#topic.read(from, end, async (records, next) => {
      for (const record of records) await this.#apply(record);
      this.#offset = next;
      const nowMs = performance.now();
      if (nowMs - reportedAtMs < REPORT_MS) return;
      reportedAtMs = nowMs;
      const share = Math.floor((100 * (next - from)) / (end - from));
      this.#report(
        `The state is being read from ${this.#topic.name} into ${this.#disk.dir}: ${Math.round(this.bytesRead / 1024 ** 2)} MiB so far, ${share} %.`,
      );
    });
    this.#offset = Math.max(this.#offset, end);
  }

  /**
   * Makes the folder what the topic has, durably. To be called before it is opened as a checkpoint directory,
   * and when nobody else can write to the topic any more.
   */
  async settle(): Promise<void> {
    await this.follow();
    const newest = this.files
      .filter((name) => parseManifestName(name) !== undefined)
      .sort()
      .at(-1);
    const there = (await this.#disk.list()).map(({ name }) => name);
    const isOurs = (name: string) => parseManifestName(name) !== undefined || segmentNamed(name) !== undefined;
    for (const name of there) if (isOurs(name) && !this.#pieces.has(name)) await this.#disk.remove(name);
    // Behind its own newest checkpoint a folder has decisions that the topic has not got yet.
    const isOwn = newest !== undefined && this.#before.has(newest) && there.includes(JOURNAL_FILE);
    if (!isOwn) await this.#putJournal();
    for (const name of this.#unsynced) if (this.#pieces.has(name)) await this.#disk.sync(name);
    this.#unsynced.clear();
    await this.#disk.syncNames();
    await this.#note();
  }

  /**
   * Adds a checkpoint that is whole in the folder to the open transaction.
   *
   * @param journal its whole content
   */
  async add(transaction: Transaction, manifest: Manifest, journal: Uint8Array | undefined): Promise<void> {
    const there = new Map((await this.#disk.list()).map(({ name, bytes }) => [name, bytes]));
    this.#isOpen = true;
    const name = manifestName(manifest);
    const batch = new Batch(this.#topic, transaction, this.costs);
    if (!this.#hasHead) await batch.add(PIPELINE_KEY, Buffer.from(JSON.stringify({ format: FORMAT, pipeline: this.#pipeline })));
    this.#hasHead = true;
    for (const { name: segment } of manifest.segments) await this.#addGrowth(batch, segment, there.get(segment) ?? 0, manifest.run);
    for (const [file, pieces] of this.#pieces) {
      if (there.has(file) || file === JOURNAL_FILE) continue;
      for (const position of pieces) await batch.add(keyOf(file, position), null);
      this.#forget(file);
    }
    if (journal !== undefined) await this.#addWhole(batch, JOURNAL_FILE, journal);
    await this.#addWhole(batch, name, encodeManifest(manifest));
    await batch.flush();
  }

  /** What was added is committed. To be awaited before the next `add`. */
  async committed(): Promise<void> {
    this.#isOpen = false;
    if (this.costs.bytes - this.#sinceIndex >= INDEX_BYTES) await this.keep();
  }

  /** Notes in the folder what it has, so that the next start need not read it. */
  async keep(): Promise<void> {
    if (this.#isOpen) return;
    this.#offset = await this.#topic.end();
    this.#sinceIndex = this.costs.bytes;
    await this.#note();
  }

  async #note(): Promise<void> {
    // The journal in the folder is ahead of the topic's, or is it: it comes with every checkpoint.
    const files = [...this.#pieces].map(([name, pieces]) => ({ name, pieces, end: this.#ends.get(name) as number }));
    await writeTopicIndex(this.#disk, {
      topic: this.#topic.id,
      offset: this.#offset,
      hasHead: this.#hasHead,
      files: files.filter(({ name }) => name !== JOURNAL_FILE),
    });
  }

  async #addGrowth(batch: Batch, file: string, size: number, run: number): Promise<void> {
    const from = this.#ends.get(file) ?? 0;
    // Those of earlier runs may have bytes that no checkpoint counts.
    if (from > 0 && segmentNamed(file)?.run !== run) return;
    for (let at = from; at < size; ) {
      const bytes = await this.#disk.readAt(file, at, Math.min(PIECE_BYTES_MAX, size - at));
      assert(bytes.length > 0, `${file} has become shorter`);
      await batch.add(keyOf(file, at), bytes);
      this.#has(file, at, at + bytes.length);
      at += bytes.length;
    }
  }

  /** A file that is written at once, in place of what the topic has of it. */
  async #addWhole(batch: Batch, file: string, bytes: Uint8Array): Promise<void> {
    const before = this.#pieces.get(file) ?? [];
    this.#forget(file);
    for (let at = 0; at === 0 || at < bytes.length; at += PIECE_BYTES_MAX) {
      const piece = bytes.subarray(at, at + PIECE_BYTES_MAX);
      await batch.add(keyOf(file, at), piece);
      this.#has(file, at, at + piece.length);
    }
    for (const position of before) if (position > 0 && position >= bytes.length) await batch.add(keyOf(file, position), null);
  }

  #has(file: string, position: number, end: number): void {
    const pieces = this.#pieces.get(file);
    if (pieces === undefined || position === 0) this.#pieces.set(file, [position]);
    else pieces.push(position);
    this.#ends.set(file, end);
  }

  #forget(file: string): void {
    this.#pieces.delete(file);
    this.#ends.delete(file);
  }

  async #apply({ key, value }: TopicRecord): Promise<void> {
    this.bytesRead += value?.length ?? 0;
    if (key === PIPELINE_KEY) {
      this.#mustBeOurs(value);
      return;
    }
    const space = key.lastIndexOf(' ');
    const file = key.slice(0, Math.max(0, space));
    const position = Number(key.slice(space + 1));
    const isKnown = file === JOURNAL_FILE || parseManifestName(file) !== undefined || segmentNamed(file) !== undefined;
    if (!this.#hasHead || !isKnown || !Number.isSafeInteger(position) || position < 0) {
      throw refused(`${this.#topic.name} has records that are not of checkpoints (with the key ${shown(key)}). Give the job a topic of its own`);
    }
    if (value === null) await this.#remove(file, position);
    else if (file === JOURNAL_FILE) {
      if (position === 0) this.#journal = new Map();
      this.#journal.set(position, value.slice());
      this.#has(file, position, position + value.length);
    } else {
      if (position === 0) await this.#disk.create(file, value);
      else if (this.#pieces.has(file)) await this.#disk.writeAt(file, value, position);
      // Its beginning is gone, and this will follow: compaction takes the pieces of a file at any time.
      else return;
      this.#unsynced.add(file);
      this.#has(file, position, position + value.length);
    }
  }

  async #remove(file: string, position: number): Promise<void> {
    if (file === JOURNAL_FILE) {
      this.#journal.delete(position);
      return;
    }
    if (position > 0) return;
    this.#forget(file);
    this.#unsynced.delete(file);
    await this.#disk.remove(file);
  }

  async #putJournal(): Promise<void> {
    if (this.#journal.size === 0) {
      await this.#disk.remove(JOURNAL_FILE);
      return;
    }
    const pieces = [...this.#journal].sort(([a], [b]) => a - b).map(([, bytes]) => bytes);
    await this.#disk.create(JOURNAL_FILE, Buffer.concat(pieces));
    this.#unsynced.add(JOURNAL_FILE);
  }

  #mustBeOurs(value: Uint8Array | null): void {
    let head: { readonly format?: unknown; readonly pipeline?: unknown } = {};
    try {
      head = JSON.parse(Buffer.from(value ?? []).toString('utf8')) as typeof head;
    } catch {
      // It is not ours, then.
    }
    if (typeof head.format === 'number' && head.format > FORMAT) {
      throw refused(
        `${this.#topic.name} has checkpoints of the format ${head.format}; this version of millrace reads ${FORMAT}. Go on with the version that wrote it`,
      );
    }
    if (head.pipeline !== this.#pipeline) {
      throw refused(
        `${this.#topic.name} has the checkpoints of the pipeline ${shown(head.pipeline)}, not of ${shown(this.#pipeline)}. Give each pipeline a topic of its own`,
      );
    }
    this.#hasHead = true;
  }
}

/** Records on their way to the topic; some megabytes at a time. */
class Batch {
  readonly #topic: CheckpointTopic;
  readonly #transaction: Transaction;
  readonly #costs: MirrorCosts;
  #records: TopicRecord[] = [];
  #bytes = 0;

  constructor(topic: CheckpointTopic, transaction: Transaction, costs: MirrorCosts) {
    this.#topic = topic;
    this.#transaction = transaction;
    this.#costs = costs;
  }

  async add(key: string, value: Uint8Array | null): Promise<void> {
    this.#records.push({ key, value });
    this.#bytes += key.length + (value?.length ?? 0);
    this.#costs.records++;
    this.#costs.bytes += key.length + (value?.length ?? 0);
    if (this.#bytes >= HELD_BYTES_MAX) await this.flush();
  }

  async flush(): Promise<void> {
    const records = this.#records;
    this.#records = [];
    this.#bytes = 0;
    if (records.length > 0) await this.#topic.write(this.#transaction, records);
  }
}

/** Whether a folder has what its index says: the newest checkpoint, whole, with its segments. */
function isThere(index: TopicIndex, manifests: readonly Manifest[], files: readonly DiskFile[]): boolean {
  const newest = index.files
    .map(({ name }) => name)
    .filter((name) => parseManifestName(name) !== undefined)
    .sort()
    .at(-1);
  if (newest === undefined) return index.files.length === 0;
  const manifest = manifests.find((one) => manifestName(one) === newest);
  const sizes = new Map(files.map(({ name, bytes }) => [name, bytes]));
  const ends = new Map(index.files.map(({ name, end }) => [name, end]));
  return manifest?.segments.every(({ name }) => (sizes.get(name) ?? -1) >= (ends.get(name) ?? Number.POSITIVE_INFINITY)) === true;
}

function keyOf(file: string, position: number): string {
  return `${file} ${position}`;
}

function refused(what: string): MillraceError {
  return new MillraceError('ERR_MILLRACE_CHECKPOINT', `${what}.`);
}
