/**
 * Rows as values of prepared statements, in the worker: the table's own types, in the bytes that the protocol has
 * them. The driver at the other end passes them on.
 *
 *   u8 kind | u32 upper half of the partition's token | i32 length, bytes | i32 length, bytes | ...
 *
 * Values: the partition key, the other key columns, the other columns (not for a row that goes), and the time of the
 * write where a column gives it. A length of -1 is a null.
 */

import { type Batch, isValid, type Schema, type SharedMemory } from '../../core/index.ts';
import { bytesLength, writeLong, writeWord } from '../big-endian.ts';
import type { RecordEncoder } from '../codec.ts';
import { RowRecords, type RowWriter } from '../delivery/index.ts';
import type { SinkEncoderContext, SinkInfo } from '../sink.ts';
import { tokenHigh } from './token.ts';
import { type CqlWriter, cqlWriter } from './values.ts';

export const INSERT = 0;
export const DELETE = 1;
/** The first value begins here. */
export const VALUES_AT = 5;

const KEY_BYTES_MAX = 65_535;
const I32 = 4;
const MICROS = 1_000;

/** What `open` found out of the table. */
export interface TablePlan extends SinkInfo {
  /** What is written, key columns first. */
  readonly columns: readonly PlanColumn[];
  readonly partitionKeys: number;
  readonly keys: number;
  /** Whether it matters which node owns a partition. */
  readonly hasRing: boolean;
}

export interface PlanColumn {
  /** In the stream. */
  readonly column: string;
  /** In the table. */
  readonly name: string;
  readonly type: string;
}

export function valuesEncoder({ memory, schema, info }: SinkEncoderContext, key: readonly string[], version: string | undefined): RecordEncoder {
  return new RowRecords(memory, schema, key, new ValuesWriter(memory, schema, info as TablePlan, version));
}

interface Value extends CqlWriter {
  readonly index: number;
  readonly column: string;
  readonly type: string;
}

class ValuesWriter implements RowWriter {
  fault = '';
  readonly #memory: SharedMemory;
  readonly #u8: Uint8Array;
  readonly #values: readonly Value[];
  readonly #partitionKeys: number;
  readonly #keys: number;
  readonly #hasRing: boolean;
  readonly #version: number;
  readonly #isTime: boolean;
  readonly #fixedBytes: number;
  #composite = new Uint8Array(256);

  constructor(memory: SharedMemory, schema: Schema, plan: TablePlan, version: string | undefined) {
    this.#memory = memory;
    this.#u8 = memory.u8;
    this.#values = plan.columns.map(({ column, type }) => {
      const index = schema.require(column, 'The sink');
      return { index, column, type, ...cqlWriter(memory, schema.field(index).type.name, type) };
    });
    this.#partitionKeys = plan.partitionKeys;
    this.#keys = plan.keys;
    this.#hasRing = plan.hasRing;
    this.#version = version === undefined ? -1 : schema.require(version, 'The version');
    this.#isTime = this.#version >= 0 && schema.field(this.#version).type.name === 'timestamp';
    this.#fixedBytes = VALUES_AT + 12 + this.#values.reduce((sum, { bytesMax }) => sum + I32 + bytesMax, 0);
  }

  bytesMax(batch: Batch, row: number): number {
    let bytes = this.#fixedBytes;
    for (const { index, isVariable } of this.#values) if (isVariable) bytes += bytesLength(this.#memory, batch.column(index), row);
    return bytes;
  }

  write(batch: Batch, row: number, address: number, isGone: boolean): number {
    const u8 = this.#u8;
    const values = this.#values;
    u8[address] = isGone ? DELETE : INSERT;
    let at = address + VALUES_AT;
    const count = isGone ? this.#keys : values.length;
    for (let v = 0; v < count; v++) {
      const { index, column: name, type, write } = values[v] as Value;
      const column = batch.column(index);
      if (isValid(this.#memory, column, row)) {
        const end = write(column, row, at + I32);
        if (end < 0) return this.#refuse(`the column ${JSON.stringify(name)} is ${String(batch.value(index, row))}, which is no ${type}`);
        writeWord(u8, end - at - I32, at);
        at = end;
      } else {
        if (v < this.#keys) return this.#refuse(`the key column ${JSON.stringify(name)} is null`);
        writeWord(u8, -1, at);
        at += I32;
      }
      if (v === this.#partitionKeys - 1 && !this.#writeToken(address, at)) return -1;
    }
    return this.#version < 0 ? at : this.#writeVersion(batch, row, at);
  }

  #writeToken(address: number, end: number): boolean {
    const from = address + VALUES_AT;
    const bytes = end - from - this.#partitionKeys * I32;
    if ((bytes === 0 && this.#partitionKeys === 1) || bytes > KEY_BYTES_MAX) {
      this.#refuse(bytes === 0 ? 'the partition key is empty' : `the partition key has ${bytes} bytes, and Cassandra takes ${KEY_BYTES_MAX} at most`);
      return false;
    }
    if (!this.#hasRing) writeWord(this.#u8, 0, address + 1);
    else if (this.#partitionKeys === 1) writeWord(this.#u8, tokenHigh(this.#u8, from + I32, end), address + 1);
    else writeWord(this.#u8, this.#compositeToken(from, end), address + 1);
    return true;
  }

  /** Of several columns the key is each with a length of two bytes before it and a zero behind. */
  #compositeToken(from: number, end: number): number {
    const u8 = this.#u8;
    if (end - from > this.#composite.length) this.#composite = new Uint8Array((end - from) * 2);
    let to = 0;
    for (let at = from; at < end; ) {
      const next = at + I32 + (((u8[at] as number) << 24) | ((u8[at + 1] as number) << 16) | ((u8[at + 2] as number) << 8) | (u8[at + 3] as number));
      for (let byte = at + 2; byte < next; byte++) this.#composite[to++] = u8[byte] as number;
      this.#composite[to++] = 0;
      at = next;
    }
    return tokenHigh(this.#composite, 0, to);
  }

  #writeVersion(batch: Batch, row: number, address: number): number {
    const column = batch.column(this.#version);
    if (!isValid(this.#memory, column, row)) return this.#refuse('the version is null');
    writeWord(this.#u8, 8, address);
    const value = BigInt(batch.value(this.#version, row) as number | bigint) * BigInt(this.#isTime ? MICROS : 1);
    if (BigInt.asIntN(64, value) !== value || value === -(2n ** 63n)) return this.#refuse(`the version ${value} is not within 64 bits`);
    return writeLong(this.#u8, Number(BigInt.asIntN(32, value >> 32n)), Number(BigInt.asIntN(32, value)), address + I32);
  }

  #refuse(message: string): -1 {
    this.fault = message;
    return -1;
  }
}

/** The values of a record, as views of it; undefined for a null. */
export function valuesOf(record: Buffer): (Buffer | undefined)[] {
  const values: (Buffer | undefined)[] = [];
  for (let at = VALUES_AT; at < record.length; ) {
    const length = record.readInt32BE(at);
    at += I32;
    values.push(length < 0 ? undefined : record.subarray(at, at + length));
    at += Math.max(0, length);
  }
  return values;
}
