/**
 * The frame of an Arrow IPC message, and bounds-checked steps through its FlatBuffers metadata, by address
 * and without objects. Nothing that the bytes declare is trusted: every table, field and vector is checked to
 * lie inside the metadata before it is read, and the body to lie inside the given bytes.
 *
 *   0  ff ff ff ff      continuation
 *   4  i32              metadata bytes, padding included: a multiple of 8; 0 ends a stream
 *   8  metadata         a FlatBuffers `Message`, which says how long the body is
 *      body             buffers at multiples of 8
 *
 * Sources: Arrow columnar format 1.5, "Encapsulated message format"; FlatBuffers internals (tables, vtables,
 * vectors).
 */

import { MillraceError } from '../errors.ts';
import type { SharedMemory } from '../memory/index.ts';

export const CONTINUATION = 0xffff_ffff;
export const PREFIX_BYTES = 8;

/** The kind of a message: MessageHeader of the format, and 0 for the end-of-stream mark. */
export const KIND = { end: 0, schema: 1, dictionaryBatch: 2, recordBatch: 3 } as const;
const KIND_NAMES = ['nothing', 'a schema', 'a dictionary batch', 'a record batch', 'a tensor', 'a sparse tensor'];
const METADATA_V4 = 3;
const METADATA_V5 = 4;

/** Throws ERR_MILLRACE_BATCH. */
export function invalid(what: string): never {
  throw new MillraceError('ERR_MILLRACE_BATCH', `These bytes are no Arrow message that can be read: ${what}.`);
}

export class MessageFrame {
  readonly memory: SharedMemory;
  readonly #view: DataView;
  #table = 0;
  #vtable = 0;
  #vtableBytes = 0;
  kind = 0;
  metadata = 0;
  metadataEnd = 0;
  /** The table that `kind` names. */
  header = 0;
  body = 0;
  bodyBytes = 0;
  /** Address of the length of the body; 0 when it is absent. */
  bodyField = 0;
  /** The first address after the message. */
  end = 0;
  /** Number of elements of the vector that `vector` found last. */
  length = 0;

  constructor(memory: SharedMemory) {
    this.memory = memory;
    this.#view = memory.view;
  }

  /**
   * Reads the frame of the message at `address`. It reads no byte at `limit` or beyond.
   *
   * @param address a multiple of 8
   * @throws MillraceError ERR_MILLRACE_BATCH
   */
  open(address: number, limit: number): void {
    const view = this.#view;
    if (!(address >= 0 && limit <= view.byteLength && address <= limit)) invalid(`${address} to ${limit} is outside the memory of ${view.byteLength} bytes`);
    if (address % 8 !== 0) invalid(`they begin at address ${address}, which is no multiple of 8 (copy them to one first)`);
    if (limit - address < PREFIX_BYTES) invalid(`${limit - address} bytes are too few for a message, which takes at least ${PREFIX_BYTES}`);
    const continuation = view.getUint32(address, true);
    if (continuation !== CONTINUATION)
      invalid(
        `they begin with 0x${continuation.toString(16).padStart(8, '0')} instead of the continuation mark 0xffffffff (no Arrow IPC stream, a file with its magic, or a stream from before Arrow 0.15)`,
      );
    const metadataBytes = view.getInt32(address + 4, true);
    this.metadata = address + PREFIX_BYTES;
    this.metadataEnd = this.body = this.end = this.metadata + metadataBytes;
    this.bodyBytes = this.bodyField = this.header = 0;
    this.kind = KIND.end;
    if (metadataBytes === 0) return;
    if (metadataBytes < 16 || metadataBytes > limit - this.metadata)
      invalid(`the metadata is declared as ${metadataBytes} bytes, but ${limit - this.metadata} are there`);
    if (metadataBytes % 8 !== 0) invalid(`the metadata is ${metadataBytes} bytes, no multiple of 8`);
    this.enterAt(this.metadata);
    const version = this.field(0, 2);
    const isKnown = version !== 0 && (view.getInt16(version, true) === METADATA_V5 || view.getInt16(version, true) === METADATA_V4);
    if (!isKnown) invalid(`the metadata version is ${version === 0 ? 'V1' : `number ${view.getInt16(version, true)}`}, but V4 and V5 are understood`);
    const kind = this.field(1, 1);
    const header = this.field(2, 4);
    this.bodyField = this.field(3, 8);
    this.bodyBytes = this.bodyField === 0 ? 0 : this.long(this.bodyField);
    if (!(this.bodyBytes >= 0 && this.bodyBytes <= limit - this.body))
      invalid(`the body is declared as ${this.bodyBytes} bytes, but ${limit - this.body} are there`);
    this.kind = kind === 0 ? 0 : view.getUint8(kind);
    if (this.kind < KIND.schema || this.kind > KIND.recordBatch || header === 0)
      invalid(`the message holds ${KIND_NAMES[this.kind] ?? `something of kind ${this.kind}`}, neither a schema nor a batch`);
    this.header = this.#indirect(header);
    this.end = this.body + this.bodyBytes;
  }

  /** Enters a table: `field` and `vector` refer to it from now on. */
  enter(table: number): void {
    const view = this.#view;
    if (table < this.metadata + 4 || table > this.metadataEnd - 4)
      invalid(`a table at byte ${table - this.metadata} of ${this.metadataEnd - this.metadata} of metadata`);
    const vtable = table - view.getInt32(table, true);
    if (vtable < this.metadata || vtable > this.metadataEnd - 4)
      invalid(`a vtable at byte ${vtable - this.metadata} of ${this.metadataEnd - this.metadata} of metadata`);
    const vtableBytes = view.getUint16(vtable, true);
    if (vtableBytes < 4 || vtable + vtableBytes > this.metadataEnd)
      invalid(`a vtable of ${vtableBytes} bytes at byte ${vtable - this.metadata} of ${this.metadataEnd - this.metadata} of metadata`);
    this.#table = table;
    this.#vtable = vtable;
    this.#vtableBytes = vtableBytes;
  }

  /** Enters the table that the offset at `field` points to. */
  enterAt(field: number): void {
    this.enter(this.#indirect(field));
  }

  /** The address of a field of `bytes` bytes of the table; 0 when it is absent. */
  field(slot: number, bytes: number): number {
    const entry = 4 + slot * 2;
    if (entry + 2 > this.#vtableBytes) return 0;
    const offset = this.#view.getUint16(this.#vtable + entry, true);
    if (offset === 0) return 0;
    const at = this.#table + offset;
    if (at + bytes > this.metadataEnd) invalid(`a field at byte ${at - this.metadata} of ${this.metadataEnd - this.metadata} of metadata`);
    return at;
  }

  /**
   * The address of the first element of a vector of the table (and its `length`); 0, with length 0, when it
   * is absent.
   */
  vector(slot: number, elementBytes: number): number {
    this.length = 0;
    const field = this.field(slot, 4);
    if (field === 0) return 0;
    const at = this.#indirect(field);
    const length = this.#view.getUint32(at, true);
    if (at + 4 + length * elementBytes > this.metadataEnd) invalid(`a vector of ${length} elements in ${this.metadataEnd - this.metadata} bytes of metadata`);
    this.length = length;
    return at + 4;
  }

  /** An i64 as a number: exact up to 2^53; a greater value still exceeds every limit. `at` was checked. */
  long(at: number): number {
    return this.#view.getInt32(at + 4, true) * 4_294_967_296 + this.#view.getUint32(at, true);
  }

  /** The target of the offset at `field`, with room for 4 bytes. */
  #indirect(field: number): number {
    const at = field + this.#view.getUint32(field, true);
    if (at > this.metadataEnd - 4) invalid(`an offset to byte ${at - this.metadata} of ${this.metadataEnd - this.metadata} of metadata`);
    return at;
  }
}
