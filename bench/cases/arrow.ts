/**
 * Arrow: messages (streams of one batch) to columns, and columns to messages. A batch is 8,192 rows of u32,
 * f64, timestamp and utf8, or of four fixed-width columns. apache-arrow makes the messages. Decoding ends
 * when every column can be read by row. By then ours has checked every offset of the text; the others have
 * not.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as flechette from '@uwdata/flechette';
import * as peer from 'apache-arrow';
import { type Batch, createMemory, f64, type Schema, SlabAllocator, schema, streamBytes, timestamp, u32, utf8 } from '../../core/index.ts';
import { arrow } from '../../io/index.ts';
import { BATCH_TIME, type BenchCase, type Contest, type Digest, type Input } from '../harness.ts';
import { decoderContext, indexOf } from './decode.ts';

const ROWS = 8_192;
const START_MS = 1_767_225_600_000;

const withText = schema({ page: u32, ms: f64, at: timestamp, name: utf8 });
const fixed = schema({ page: u32, ms: f64, at: timestamp, more: f64 });

const pageAt = (row: number): number => (row * 7_919) % 1_009;
const msAt = (row: number): number => ((row * 31) % 8_000) / 8;
const timeAt = (row: number): number => START_MS + row;
const nameAt = (row: number): string => `page-${pageAt(row)}`;
const moreAt = (row: number): number => -msAt(row) - 1;

function writeMessage({ dir }: Input, of: Schema): void {
  const rows = Array.from({ length: ROWS }, (_, row) => row);
  const columns: Record<string, peer.Vector> = {
    page: peer.vectorFromArray(rows.map(pageAt), new peer.Uint32()),
    ms: peer.vectorFromArray(rows.map(msAt), new peer.Float64()),
    at: peer.vectorFromArray(rows.map(timeAt), new peer.TimestampMillisecond('UTC')),
    ...(of === withText
      ? { name: peer.vectorFromArray(rows.map(nameAt), new peer.Utf8()) }
      : { more: peer.vectorFromArray(rows.map(moreAt), new peer.Float64()) }),
  };
  writeFileSync(join(dir, 'batch.arrow'), peer.tableToIPC(new peer.Table(columns), 'stream'));
}
const readMessage = ({ dir }: Input): Uint8Array => new Uint8Array(readFileSync(join(dir, 'batch.arrow')));

function digestOf(
  of: Schema,
  page: (row: number) => number,
  ms: (row: number) => number,
  at: (row: number) => number,
  last: (row: number) => string | number,
): Digest {
  const sums = [0, 0, 0, 0];
  for (let row = 0; row < ROWS; row++) {
    const weight = 1 + (row % 101);
    const end = last(row);
    sums[0] = (sums[0] as number) + weight * page(row);
    sums[1] = (sums[1] as number) + weight * ms(row);
    sums[2] = (sums[2] as number) + weight * (at(row) - START_MS);
    sums[3] = (sums[3] as number) + weight * (typeof end === 'string' ? end.length * 64 + end.charCodeAt(end.length - 1) : end);
  }
  return [of.length, ...sums];
}
const reference = (of: Schema): Digest => digestOf(of, pageAt, msAt, timeAt, of === withText ? nameAt : moreAt);

function digestOfBatch(of: Schema, batch: Batch): Digest {
  const value = (column: number) => (row: number) => batch.value(column, row) as number;
  return digestOf(of, value(0), value(1), value(2), value(3));
}

/** The message in shared memory, and its decoder. */
function decoding(input: Input, of: Schema): { slabs: SlabAllocator; decode(): Batch } {
  const bytes = readMessage(input);
  const slabs = new SlabAllocator(createMemory(64 << 20));
  const address = slabs.alloc(bytes.length);
  slabs.memory.u8.set(bytes, address);
  const index = indexOf(slabs, address, Uint32Array.of(0), Uint32Array.of(bytes.length), 0, 1);
  const decoder = arrow(of).decoder(decoderContext(slabs, of, ROWS));
  return {
    slabs,
    decode() {
      decoder.open(index);
      return decoder.next() as Batch;
    },
  };
}

function oursDecode(input: Input, of: Schema): Contest {
  const { decode } = decoding(input, of);
  let batch = decode();
  return {
    units: input.size,
    run() {
      for (let i = 0; i < input.size; i++) batch = decode();
    },
    digest: () => digestOfBatch(of, batch),
  };
}

interface PeerTable {
  getChildAt(column: number): unknown;
}

function peerDecode<T extends PeerTable>(input: Input, of: Schema, decode: (bytes: Uint8Array) => T, digest: (table: T) => Digest): Contest {
  const bytes = readMessage(input);
  let table = decode(bytes);
  let columns = 0;
  return {
    units: input.size,
    run() {
      for (let i = 0; i < input.size; i++) {
        table = decode(bytes);
        for (let c = 0; c < of.length; c++) if (table.getChildAt(c) !== null) columns++;
      }
      if (columns % of.length !== 0) throw new Error('bench: a column is missing');
    },
    digest: () => digest(table),
  };
}

const apacheDigest =
  (of: Schema) =>
  (table: peer.Table): Digest => {
    const value = (column: number) => (row: number) => Number(table.getChildAt(column)?.get(row));
    return digestOf(of, value(0), value(1), value(2), of === withText ? (row) => String(table.getChildAt(3)?.get(row)) : value(3));
  };
const flechetteDigest =
  (of: Schema) =>
  (table: flechette.Table): Digest => {
    const value = (column: number) => (row: number) => Number(table.getChildAt(column).at(row));
    return digestOf(of, value(0), value(1), value(2), of === withText ? (row) => String(table.getChildAt(3).at(row)) : value(3));
  };

function decodeCase(name: string, of: Schema): BenchCase {
  return {
    name,
    rooms: ['decode', 'arrow'],
    unit: BATCH_TIME,
    sizes: { full: 2_000, quick: 500, tiny: 2 },
    setup: (input) => writeMessage(input, of),
    expected: () => reference(of),
    ours: { start: (input) => oursDecode(input, of) },
    peers: {
      apacheArrow: { start: (input) => peerDecode(input, of, (bytes) => peer.tableFromIPC(bytes), apacheDigest(of)) },
      flechette: { start: (input) => peerDecode(input, of, (bytes) => flechette.tableFromIPC(bytes), flechetteDigest(of)) },
    },
  };
}

/** Encoding, checked by reading the result back with apache-arrow. */
function encodeCase(name: string, of: Schema): BenchCase {
  const contest = (input: Input, encode: () => Uint8Array | number, bytesOf: () => Uint8Array): Contest => ({
    units: input.size,
    run() {
      for (let i = 0; i < input.size; i++) encode();
    },
    digest: () => apacheDigest(of)(peer.tableFromIPC(bytesOf())),
  });
  return {
    name,
    rooms: ['encode', 'arrow'],
    unit: BATCH_TIME,
    sizes: { full: 1_000, quick: 300, tiny: 2 },
    setup: (input) => writeMessage(input, of),
    expected: () => reference(of),
    ours: {
      start(input) {
        const { slabs, decode } = decoding(input, of);
        const batch = decode();
        const room = streamBytes(of, [batch]) + 64;
        const address = slabs.alloc(room);
        const ends = slabs.alloc(64);
        const encoder = arrow().encoder({ memory: slabs.memory, slabs }, of);
        const encode = (): number => encoder.encode(batch, 0, ROWS, address, address + room, ends);
        return contest(input, encode, () => slabs.memory.u8.slice(address, slabs.memory.u32[ends >>> 2]));
      },
    },
    peers: {
      apacheArrow: {
        start(input) {
          const table = peer.tableFromIPC(readMessage(input));
          const encode = (): Uint8Array => peer.tableToIPC(table, 'stream');
          return contest(input, encode, encode);
        },
      },
      flechette: {
        start(input) {
          const table = flechette.tableFromIPC(readMessage(input));
          const encode = (): Uint8Array => flechette.tableToIPC(table, { format: 'stream' }) as Uint8Array;
          return contest(input, encode, encode);
        },
      },
    },
  };
}

export const arrowCases: readonly BenchCase[] = [
  decodeCase('decode/arrow', withText),
  decodeCase('decode/arrow-fixed', fixed),
  encodeCase('encode/arrow', withText),
];
