/**
 * Decoding: JSON messages to columns, record batches to lists of records, Arrow messages to columns. Timed
 * from bytes in memory to columns; a separate run checks the contents.
 */

import { type Batch, type Column, createMemory, type Schema, SlabAllocator } from '../../core/index.ts';
import { type DecoderContext, json, type RecordIndex } from '../../io/index.ts';
import { allocRecordIndex } from '../../io/record-index.ts';
import { type BenchCase, type Contest, type Input, RECORDS } from '../harness.ts';
import { cppEntry } from '../peers/cpp.ts';
import { type Message, MessageDigest, message, messageReference, readMessages, writeMessages } from './messages.ts';

const BATCH_ROWS = 4_096;

export function decoderContext(slabs: SlabAllocator, schema: Schema, batchRows = BATCH_ROWS): DecoderContext {
  return {
    memory: slabs.memory,
    slabs,
    columns: schema.fields.map((_, c) => c),
    batchRows,
    reject: ({ message: why }) => {
      throw new Error(`bench: refused: ${why}`);
    },
  };
}

/** Lists records in shared memory: record i is bytes starts[i] to ends[i] after `address`. */
export function indexOf(slabs: SlabAllocator, address: number, starts: Uint32Array, ends: Uint32Array, from: number, to: number): RecordIndex {
  const index = allocRecordIndex(slabs, to - from, 'lines');
  const { u32, i32, f64 } = slabs.memory;
  for (let i = from; i < to; i++) {
    u32[(index.values >>> 2) + i - from] = address + (starts[i] as number);
    i32[(index.valueLengths >>> 2) + i - from] = (ends[i] as number) - (starts[i] as number);
    f64[(index.offsets >>> 3) + i - from] = i;
  }
  index.count = to - from;
  return index;
}

function ours(input: Input): Contest {
  const { bytes, starts, ends, count } = readMessages(input);
  const slabs = new SlabAllocator(createMemory((64 << 20) + bytes.length * 3));
  const address = slabs.alloc(bytes.length + 64);
  slabs.memory.u8.set(bytes, address);
  const indexes: RecordIndex[] = [];
  for (let from = 0; from < count; from += BATCH_ROWS) indexes.push(indexOf(slabs, address, starts, ends, from, Math.min(count, from + BATCH_ROWS)));
  const decoder = json(message).decoder(decoderContext(slabs, message));
  const eachBatch = (visit: (batch: Batch) => void): void => {
    for (const index of indexes) {
      decoder.open(index);
      for (let batch = decoder.next(); batch !== undefined; batch = decoder.next()) visit(batch);
    }
  };
  return {
    units: count,
    run() {
      let rows = 0;
      eachBatch((batch) => {
        rows += batch.rowCount;
      });
      if (rows !== count) throw new Error(`bench: ${rows} rows of ${count} messages`);
    },
    digest() {
      const digest = new MessageDigest();
      eachBatch((batch) => addBatch(digest, batch));
      return digest.digest();
    },
  };
}

function addBatch(digest: MessageDigest, batch: Batch): void {
  const { u8, i32, f64, u32 } = batch.memory;
  const [page, user, ms, at, ref, ok] = batch.columns as [Column, Column, Column, Column, Column, Column];
  const length = ({ offsets }: Column, row: number): number => (i32[(offsets >>> 2) + row + 1] as number) - (i32[(offsets >>> 2) + row] as number);
  const last = ({ data, offsets }: Column, row: number): number => u8[data + (i32[(offsets >>> 2) + row + 1] as number) - 1] as number;
  for (let row = 0; row < batch.rowCount; row++) {
    const time = (i32[(at.data >>> 2) + row * 2 + 1] as number) * 4_294_967_296 + (u32[(at.data >>> 2) + row * 2] as number);
    const isOk = (((u8[ok.data + (row >>> 3)] as number) >>> (row & 7)) & 1) === 1;
    digest.add(
      length(page, row) + length(user, row) + length(ref, row),
      last(page, row) + 3 * last(user, row) + 5 * last(ref, row),
      f64[(ms.data >>> 3) + row] as number,
      time,
      isOk,
    );
  }
}

/** A program that reads messages: bytes to text to an object, its fields to arrays. */
function jsonParse(input: Input): Contest {
  const { bytes, starts, ends, count } = readMessages(input);
  const pages = new Array<string>(count);
  const users = new Array<string>(count);
  const refs = new Array<string>(count);
  const ms = new Float64Array(count);
  const at = new Float64Array(count);
  const ok = new Uint8Array(count);
  return {
    units: count,
    run() {
      for (let i = 0; i < count; i++) {
        const of = JSON.parse(bytes.toString('utf8', starts[i], ends[i])) as Message;
        pages[i] = of.page;
        users[i] = of.user;
        refs[i] = of.ref;
        ms[i] = of.ms;
        at[i] = of.at;
        ok[i] = of.ok ? 1 : 0;
      }
    },
    digest() {
      const digest = new MessageDigest();
      for (let i = 0; i < count; i++) {
        digest.addMessage({
          page: pages[i] as string,
          user: users[i] as string,
          ref: refs[i] as string,
          ms: ms[i] as number,
          at: at[i] as number,
          ok: ok[i] === 1,
        });
      }
      return digest.digest();
    },
  };
}

function jsonCase(name: string, isShuffled: boolean): BenchCase {
  return {
    name,
    rooms: ['decode'],
    unit: RECORDS,
    sizes: { full: 200_000, quick: 100_000, tiny: 500 },
    setup: (input) => writeMessages(input, isShuffled),
    expected: (input) => messageReference(input),
    ours: { start: ours },
    peers: {
      jsonParse: { start: jsonParse },
      simdjson: cppEntry('simdjson.cpp', [], ['-lsimdjson'], ({ dir }) => [dir], 'simdjson.h'),
    },
  };
}

export const jsonDecodeCases: readonly BenchCase[] = [jsonCase('decode/json', false), jsonCase('decode/json-shuffled', true)];
