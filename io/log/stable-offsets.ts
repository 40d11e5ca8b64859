/**
 * The stable offsets of a topic: one small file that says up to where the partitions may be read. All
 * partitions become visible by one write. Only a topic that was written exactly-once has the file; without
 * it, everything that is whole in the segments may be read.
 *
 *   slot 0   {"version":1,"sequence":6,"generation":2,"pipeline":"clicks",
 *             "committed":{"checkpoint":41,"ends":[1200,1180]},"prepared":null,"crc32c":"..."}
 *   slot 1   {"version":1,"sequence":7, ... "prepared":{"checkpoint":42,"ends":[1310,1295]}, ...}
 *
 * A state is written in place, into the slot that does not hold the newest one, and synced. So a crash leaves
 * the newest state or the one before. The file is made aside once, and replaced only where a process that may be
 * alive was deposed, and may have it open: what that one still writes goes nowhere. A reader keeps it open, and
 * sees that it was replaced.
 */

import { type FileHandle, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32cBytes, MillraceError, shown } from '../../core/index.ts';
import { fileError, stablePath } from './layout.ts';
import { syncDir } from './positions.ts';
import { isSealed, sealed } from './sealed-json.ts';

/** The end of each partition, as of a checkpoint. */
export interface CheckpointEnds {
  readonly checkpoint: number;
  readonly ends: readonly number[];
}

export interface StableState {
  /**
   * Changes whenever a writer starts or cuts something off. Bytes that were read while there was no limit are
   * good if the generation is still the same after reading.
   */
  readonly generation: number;
  /** Whose checkpoints these are. */
  readonly pipeline: string;
  /** Where readers stop; null: nowhere, because the topic is written at-least-once now. */
  readonly committed: CheckpointEnds | null;
  /** Durable in the segments, but not visible: the job may have decided the checkpoint, or not. */
  readonly prepared: CheckpointEnds | null;
}

interface Slot extends StableState {
  readonly sequence: number;
}

const VERSION = 1;
const NAME_CHARACTERS_MAX = 100;
/** Room for what is not an offset, and for the offsets of a partition: two of 16 digits and a comma. */
const SLOT_BYTES = 1_024;
const PARTITION_BYTES = 34;
const BLOCK_BYTES = 4_096;
/** Both slots can look broken to a reader only while two states are being written. */
const ATTEMPTS = 5;

/** Reads the state of a topic, again and again. */
export class StableReader {
  readonly #path: string;
  #file: FileHandle | undefined;

  constructor(topicDir: string) {
    this.#path = stablePath(topicDir);
  }

  /**
   * The state as it is now. Undefined: the topic was only ever written at-least-once.
   *
   * @throws MillraceError ERR_MILLRACE_CORRUPT when the file is damaged
   */
  async read(): Promise<StableState | undefined> {
    if (this.#file === undefined) {
      // Not shared between overlapping calls: an answer from before a call is too old for it.
      const file = await openIfThere(this.#path, 'r');
      if (this.#file === undefined) this.#file = file;
      else await file?.close();
    }
    if (this.#file === undefined) return undefined;
    const found = await newestIn(this.#file, this.#path);
    if ((await this.#file.stat()).nlink > 0) return found;
    await this.close();
    return this.read();
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }
}

/** Writes the state of a topic. Only the one writer of the topic has it. */
export class StableWriter {
  readonly #path: string;
  readonly #slotBytes: number;
  #file: FileHandle | undefined;
  #sequence = 0;
  state: StableState | undefined;

  private constructor(path: string, partitionCount: number) {
    this.#path = path;
    this.#slotBytes = Math.ceil((SLOT_BYTES + 2 * PARTITION_BYTES * partitionCount) / BLOCK_BYTES) * BLOCK_BYTES;
  }

  /** @param isAnew the next state is written to a new file, as somebody may have the old one open */
  static async open(topicDir: string, partitionCount: number, isAnew = false): Promise<StableWriter> {
    const writer = new StableWriter(stablePath(topicDir), partitionCount);
    writer.#file = await openIfThere(writer.#path, 'r+');
    if (writer.#file === undefined) return writer;
    try {
      const { sequence, ...state } = await newestIn(writer.#file, writer.#path);
      for (const kept of [state.committed, state.prepared]) if (kept !== null && kept.ends.length !== partitionCount) throw damaged(writer.#path);
      writer.#sequence = sequence;
      writer.state = state;
      if (isAnew) await writer.close();
      return writer;
    } catch (error) {
      await writer.close();
      throw error;
    }
  }

  /** Durable when it resolves. Calls must not overlap. */
  async write(change: Partial<StableState>): Promise<void> {
    const state = { generation: 1, pipeline: '', committed: null, prepared: null, ...this.state, ...change };
    const bytes = Buffer.alloc(this.#slotBytes, ' ');
    bytes.write(sealed({ version: VERSION, sequence: ++this.#sequence, ...state }));
    try {
      if (this.#file === undefined) this.#file = await this.#create(bytes);
      else {
        const at = (this.#sequence % 2) * this.#slotBytes;
        for (let done = 0; done < bytes.length; ) done += (await this.#file.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
        await this.#file.datasync();
      }
    } catch (cause) {
      throw fileError('cannot write the stable offsets', this.#path, cause);
    }
    this.state = state;
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  /** A state goes to the slot of its sequence; the other one stays blank until the next. */
  async #create(slot: Buffer): Promise<FileHandle> {
    const aside = `${this.#path}.new`;
    const file = await open(aside, 'w+');
    try {
      const blank = Buffer.alloc(this.#slotBytes, ' ');
      await file.writeFile(Buffer.concat(this.#sequence % 2 === 1 ? [blank, slot] : [slot, blank]));
      await file.sync();
      await rename(aside, this.#path);
      await syncDir(dirname(this.#path));
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }
}

/** A pipeline's name as it is kept: long ones are cut, and told apart by a checksum. */
export function keptName(pipeline: string): string {
  if (pipeline.length <= NAME_CHARACTERS_MAX) return pipeline;
  return `${pipeline.slice(0, NAME_CHARACTERS_MAX)}... ${crc32cBytes(Buffer.from(pipeline)).toString(16)}`;
}

async function openIfThere(path: string, flags: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, flags);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw fileError('cannot read the stable offsets', path, cause);
  }
}

async function newestIn(file: FileHandle, path: string): Promise<Slot> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const bytes = await bytesOf(file, path);
    const slots = [slotIn(bytes.subarray(0, bytes.length >> 1)), slotIn(bytes.subarray(bytes.length >> 1))];
    const found = slots.filter((slot) => slot !== undefined).sort((a, b) => b.sequence - a.sequence);
    if (found[0] !== undefined) return found[0];
  }
  throw damaged(path);
}

async function bytesOf(file: FileHandle, path: string): Promise<Buffer> {
  try {
    const { size } = await file.stat();
    const bytes = Buffer.alloc(size);
    let done = 0;
    while (done < size) {
      const { bytesRead } = await file.read(bytes, done, size - done, done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return bytes.subarray(0, done);
  } catch (cause) {
    throw fileError('cannot read the stable offsets', path, cause);
  }
}

function slotIn(bytes: Buffer): Slot | undefined {
  const line = bytes.subarray(0, bytes.indexOf('\n') + 1);
  if (!isSealed(line)) return undefined;
  const slot = JSON.parse(line.toString('utf8')) as Slot & { version: unknown };
  if (slot.version === VERSION) return slot;
  throw new MillraceError(
    'ERR_MILLRACE_CORRUPT',
    `The stable offsets of a topic have the version ${shown(slot.version)}; this millrace reads version ${VERSION}. Read and write the topic with the newer one.`,
  );
}

function damaged(path: string): MillraceError {
  return new MillraceError(
    'ERR_MILLRACE_CORRUPT',
    `The stable offsets in ${path} are damaged, so it is not known which rows were committed. Restore the file from a copy. Without it, every row that is in the topic counts as committed, also those that no checkpoint has.`,
  );
}
