/**
 * json(schema) by the kernel, by the TypeScript reference and by JSON.parse, over batches of records made to
 * part them (test/io/json-mutator.ts). A decoder lives for many batches, as it does in a job, so that what
 * the kernel keeps from one record for the next (the order of keys, keys it has learned) is part of what is
 * tested.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type AnyRow,
  binary,
  bool,
  f32,
  f64,
  i8,
  i16,
  i32,
  i64,
  nullable,
  type SchemaFields,
  type SlabAllocator,
  seededRng,
  timestamp,
  u32,
  utf8,
} from '../../core/index.ts';
import type { RecordDecoder } from '../../io/codec.ts';
import { json } from '../../io/json.ts';
import { allocRecordIndex, type RecordSpace } from '../../io/record-index.ts';
import { caseCount, seedOf } from '../seed.ts';
import { memory, plainSlabs, slabs } from './codec-harness.ts';
import { modelRow, REFUSED, UNKNOWN } from './json-model.ts';
import { JsonMutator } from './json-mutator.ts';

/** Batches for each schema. */
const RUNS = caseCount(50);
const SEED = seedOf(20_261_130);
const RECORDS_MAX = 80;
const FRAME_BYTES = 1 << 20;

const SCHEMAS: Readonly<Record<string, SchemaFields>> = {
  'one number': { s: f64 },
  'two texts': { s: utf8, page: nullable(utf8) },
  'every type': {
    page: utf8,
    ms: nullable(f64),
    n: nullable(i32),
    ok: nullable(bool),
    größe: nullable(utf8),
    b: nullable(i8),
    s: nullable(i16),
    u: nullable(u32),
    f: nullable(f32),
    at: nullable(timestamp),
    big: nullable(i64),
    bin: nullable(binary),
  },
  'long keys': {
    eightfuleightful: nullable(f64),
    'eightful-and more-eightful': nullable(f64),
    'a key of 15 byt': nullable(utf8),
    'a key of sixteen': nullable(f64),
    'a key of seventee': nullable(i32),
    'a key that is longer than thirty-two bytes': nullable(utf8),
    'tab\t"quote"': nullable(f64),
    '': nullable(f64),
  },
  'more keys than the flat pass knows': Object.fromEntries(
    Array.from({ length: 50 }, (_, i) => [`k${i}`, nullable([f64, utf8, i32, bool][i % 4] as typeof f64)]),
  ),
};

interface Outcome {
  readonly rows: readonly AnyRow[];
  readonly records: readonly number[];
  readonly refused: readonly number[];
}

/** One decoder over many batches. */
class Subject {
  readonly #decoder: RecordDecoder;
  readonly #index: RecordSpace;
  #refused: number[] = [];

  constructor(on: SlabAllocator, fields: SchemaFields, batchRows: number) {
    this.#index = allocRecordIndex(on, RECORDS_MAX * 2 + 2);
    this.#decoder = json(fields).decoder({
      memory: on.memory,
      slabs: on,
      columns: Object.keys(fields).map((_, i) => i),
      batchRows,
      reject: ({ offset }) => this.#refused.push(offset),
    });
  }

  run(frame: number, ends: readonly (readonly [number, number])[]): Outcome {
    const { u32, i32, f64 } = memory;
    ends.forEach(([at, length], i) => {
      u32[(this.#index.values >>> 2) + i] = frame + at;
      i32[(this.#index.valueLengths >>> 2) + i] = length;
      f64[(this.#index.offsets >>> 3) + i] = i;
    });
    this.#index.count = ends.length;
    this.#refused = [];
    const rows: AnyRow[] = [];
    const records: number[] = [];
    this.#decoder.open(this.#index);
    for (let batch = this.#decoder.next(); batch; batch = this.#decoder.next()) {
      rows.push(...batch.toRows());
      for (let row = 0; row < batch.rowCount; row++) records.push(this.#decoder.recordOf(row));
    }
    return { rows, records, refused: this.#refused };
  }
}

const shown = (record: Uint8Array | undefined): string =>
  `${Buffer.from(record ?? []).toString('hex')} ${JSON.stringify(Buffer.from(record ?? []).toString('latin1'))}`;

function compare(fields: SchemaFields, records: readonly Buffer[], kernel: Outcome, reference: Outcome): void {
  const taken = (outcome: Outcome) => new Map(outcome.records.map((record, i) => [record, outcome.rows[i] as AnyRow]));
  const byKernel = taken(kernel);
  const byReference = taken(reference);
  records.forEach((record, i) => {
    const expected = modelRow(fields, record);
    const [k, r] = [byKernel.get(i), byReference.get(i)];
    assert.deepStrictEqual(k, r, `kernel and reference, record ${i} of ${records.length}: ${shown(record)}, behind ${shown(records[i - 1])}`);
    assert.equal(kernel.refused.includes(i), k === undefined, `a record is a row or refused: ${shown(record)}`);
    assert.equal(reference.refused.includes(i), r === undefined);
    if (expected === REFUSED) assert.equal(r, undefined, `JSON.parse does not give such a row: ${shown(record)}`);
    else {
      const known = Object.entries(expected).filter(([, value]) => value !== UNKNOWN);
      if (r === undefined) assert.notEqual(known.length, Object.keys(expected).length, `JSON.parse gives a row: ${shown(record)}`);
      else assert.deepStrictEqual(Object.fromEntries(known.map(([name]) => [name, r[name]])), Object.fromEntries(known), shown(record));
    }
  });
}

for (const [name, fields] of Object.entries(SCHEMAS)) {
  test(`kernel, reference and JSON.parse agree on what is a record: ${name}`, () => {
    const random = seededRng(SEED);
    const frame = slabs.alloc(FRAME_BYTES);
    const mutator = new JsonMutator(random, fields);
    let subjects: readonly [Subject, Subject] | undefined;
    let taken = 0;
    let refused = 0;
    for (let run = 0; run < RUNS; run++) {
      if (subjects === undefined || run % 25 === 0) {
        const batchRows = random.pick([2, 16, 64, 200]);
        subjects = [new Subject(slabs, fields, batchRows), new Subject(plainSlabs, fields, batchRows)];
      }
      const records = mutator.batch(RECORDS_MAX);
      let at = random.int(8);
      // Records may lie side by side: what is behind one is then the next.
      const gap = random.pick([0, 0, 1, 5]);
      memory.u8.fill(random.pick([0x31, 0x22, 0x7d, 0x00, 0x2c]), frame, frame + Math.min(FRAME_BYTES, 1 << 16));
      const places = records.map((record) => {
        memory.u8.set(record, frame + at);
        const place = [at, record.length] as const;
        at += record.length + gap;
        return place;
      });
      assert.ok(at < FRAME_BYTES);
      try {
        const [kernel, reference] = subjects.map((subject) => subject.run(frame, places)) as [Outcome, Outcome];
        compare(fields, records, kernel, reference);
        taken += kernel.rows.length;
        refused += kernel.refused.length;
      } catch (error) {
        if (error instanceof Error) error.message = `run ${run}, MILLRACE_SEED=${SEED}: ${error.message}`;
        throw error;
      }
    }
    slabs.free(frame);
    assert.ok(taken > RUNS && refused > RUNS, `${taken} rows and ${refused} refused: the mutator makes both`);
  });
}
