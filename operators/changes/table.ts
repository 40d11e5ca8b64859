/**
 * A table: the last row of each key. At the end of each epoch it puts out, for each key whose row is another
 * one now, the old row, taken back, and the new one. So a key gives at most one change in an epoch, and none
 * where its row is the same again. Rows are kept as records in pages of shared memory, like the table of a
 * join. Those of windows are forgotten once no row can replace them any more: they stay in what was made of them.
 */

import { type Batch, BatchBuilder, type Column, type PagePool, readTimestamp, readValue, type Schema, withSign } from '../../core/index.ts';
import { KeyIndex, RowImage, recordPages, sameBytes, TimeHeap } from '../by-key/index.ts';
import { hashKeys, NEVER_DUE, type StateRow } from '../exchange/index.ts';
import { type DueTimes, type KeyedContext, type KeyedOperator, type KeyedOperatorPlan, RowReader } from '../keyed/index.ts';
import { changesInput } from './change-rows.ts';

export interface TableRequest {
  readonly input: Schema;
  readonly keys: readonly string[];
  /** A bool column: a row with true in it takes its key out. */
  readonly deleted: string | undefined;
  /** Whether that column is in the rows of the table. */
  readonly keepsDeleted: boolean;
  /** Of results of windows: the key column with the window's end. Behind the watermark no row replaces one of it. */
  readonly windowEnd?: string | undefined;
}

/** Positions of columns in the input, and where they go in the output. */
interface TableColumns {
  readonly keys: readonly number[];
  readonly keysTo: readonly number[];
  readonly values: readonly number[];
  readonly valuesTo: readonly number[];
  /** -1: no row takes its key out. */
  readonly deleted: number;
  /** Of the end of a window, in the input and in the output; -1: keys are kept for ever. */
  readonly end: number;
  readonly endTo: number;
  readonly output: Schema;
}

/** @throws MillraceError ERR_MILLRACE_PIPELINE when a key is no column */
export function planTable({ input, keys, deleted, keepsDeleted, windowEnd }: TableRequest): KeyedOperatorPlan {
  const rows = changesInput(input, keys);
  const kept = input.fields.filter(({ name }) => keepsDeleted || name !== deleted).map(({ name }) => name);
  const output = withSign(input.select(kept, 'table'));
  const values = kept.map((name) => input.indexOf(name)).filter((column) => !rows.keys.includes(column));
  const to = (column: number): number => output.indexOf(input.field(column).name);
  const columns: TableColumns = {
    keys: rows.keys,
    keysTo: rows.keys.map(to),
    values,
    valuesTo: values.map(to),
    deleted: deleted === undefined ? -1 : input.require(deleted, 'table'),
    end: windowEnd === undefined ? -1 : input.require(windowEnd, 'table'),
    endTo: windowEnd === undefined ? -1 : output.require(windowEnd, 'table'),
    output,
  };
  return {
    name: 'table',
    isOrdered: true,
    inputs: [rows],
    output,
    outputTime: undefined,
    lateBefore: () => Number.NEGATIVE_INFINITY,
    heldUntil: () => Number.POSITIVE_INFINITY,
    state: { format: 1, facts: { deleted: deleted ?? null } },
    open: (context, from) => new Table(columns, context, from as HeldTable | undefined),
    whole: 'the last row of each key is kept',
    describe: () =>
      `table by ${keys.join(', ')}: the last row of each key${deleted === undefined ? '' : `, until ${deleted}`}${windowEnd === undefined ? '' : `, until the watermark has passed ${windowEnd}`}\n  changes   at the end of an epoch, of each key whose row is another one: the old row, taken back, then the new one`,
  };
}

interface HeldTable {
  readonly rows: readonly { readonly hash: number; readonly key: Uint8Array; readonly values: Uint8Array }[];
}

class Table implements KeyedOperator {
  readonly #columns: TableColumns;
  readonly #context: KeyedContext;
  readonly #keys: KeyIndex;
  readonly #image: RowImage;
  readonly #pages: PagePool;
  /** By key: the address of its record (0: none), and its page. */
  #record = new Uint32Array(0);
  #page = new Uint32Array(0);
  /** The same of the row that is out, for the keys of this epoch. */
  #outRecord = new Uint32Array(0);
  #outPage = new Uint32Array(0);
  #isTouched = new Uint8Array(0);
  #touched: number[] = [];
  #hashes = new Uint32Array(64);
  /** Of windows: their ends by key (NaN: no row is kept), and the keys in the order of these. */
  #end = new Float64Array(0);
  readonly #byEnd = new TimeHeap();

  constructor(columns: TableColumns, context: KeyedContext, from: HeldTable | undefined) {
    const { slabs } = context;
    const types = (to: readonly number[]) => to.map((column) => columns.output.field(column).type);
    this.#columns = columns;
    this.#context = context;
    this.#keys = new KeyIndex(slabs, types(columns.keysTo));
    this.#image = new RowImage(slabs.memory, types(columns.valuesTo));
    this.#pages = recordPages(slabs);
    for (const { hash, key, values } of from?.rows ?? []) {
      const id = this.#keys.internRecord(key, hash);
      this.#reserve();
      const record = this.#pages.take(values.length);
      slabs.memory.u8.set(values, record);
      this.#record[id] = record;
      this.#page[id] = this.#pages.page;
    }
    if (columns.end >= 0) this.#restoreEnds();
  }

  get stateBytes(): number {
    return this.#keys.bytes + this.#pages.bytes + this.#record.length * (this.#columns.end < 0 ? 17 : 25) + this.#byEnd.bytes;
  }

  /** Windows are forgotten when there is something else to do. */
  get due(): DueTimes {
    return NEVER_DUE;
  }

  onBatch(rows: Batch): void {
    const { memory } = this.#context.slabs;
    const { keys, values, deleted, end } = this.#columns;
    const keyColumns = keys.map((c) => rows.column(c));
    const valueColumns: Column[] = values.map((c) => rows.column(c));
    if (rows.rowCount > this.#hashes.length) this.#hashes = new Uint32Array(rows.rowCount * 2);
    hashKeys(memory, keyColumns, rows.rowCount, this.#hashes);
    for (let row = 0; row < rows.rowCount; row++) {
      const key = this.#keys.intern(keyColumns, row, this.#hashes[row] as number);
      this.#reserve();
      if (end >= 0) this.#noteEnd(key, readTimestamp(memory, rows.column(end).data, row));
      if (this.#isTouched[key] === 0) {
        this.#isTouched[key] = 1;
        this.#touched.push(key);
        this.#outRecord[key] = this.#record[key] as number;
        this.#outPage[key] = this.#page[key] as number;
      } else if (this.#record[key] !== 0 && this.#record[key] !== this.#outRecord[key]) this.#pages.drop(this.#page[key] as number);
      this.#record[key] = 0;
      if (deleted >= 0 && readValue(memory, rows.column(deleted), row) === true) continue;
      const record = this.#pages.take(this.#image.size(valueColumns, row));
      this.#image.write(valueColumns, row, record);
      this.#record[key] = record;
      this.#page[key] = this.#pages.page;
    }
  }

  onWatermark(watermark: number): void {
    for (const key of this.#touched) {
      const before = this.#outRecord[key] as number;
      const after = this.#record[key] as number;
      if (!this.#isSame(before, after)) {
        if (before !== 0 && after !== 0) this.#context.output.keepTogether(2);
        if (before !== 0) this.#put(key, before, true);
        if (after !== 0) this.#put(key, after, false);
      }
      if (before !== 0) this.#pages.drop(this.#outPage[key] as number);
      this.#isTouched[key] = 0;
      this.#outRecord[key] = 0;
      if (after === 0) this.#remove(key);
    }
    this.#touched = [];
    // At the end of the input nothing comes any more, but a later run may go on with the state.
    if (watermark < Number.POSITIVE_INFINITY) this.#forgetUntil(watermark);
  }

  /** Forgets the windows whose last moment the watermark has passed. */
  #forgetUntil(watermark: number): void {
    while (this.#byEnd.firstTime - 1 < watermark) {
      const time = this.#byEnd.firstTime;
      const key = this.#byEnd.pop();
      // Its window may have gone, and another one have its number.
      if (this.#end[key] !== time) continue;
      this.#pages.drop(this.#page[key] as number);
      this.#record[key] = 0;
      this.#remove(key);
    }
  }

  #noteEnd(key: number, end: number): void {
    if (this.#end[key] === end) return;
    this.#end[key] = end;
    this.#byEnd.push(end, key, key);
  }

  #remove(key: number): void {
    this.#keys.remove(key);
    if (this.#columns.end >= 0) this.#end[key] = Number.NaN;
  }

  #restoreEnds(): void {
    const { slabs } = this.#context;
    const { output, keysTo, endTo } = this.#columns;
    const builder = new BatchBuilder(slabs, output, 1);
    for (const [id, record] of this.#record.entries()) {
      if (record === 0) continue;
      builder.reset();
      this.#keys.read(id, builder, keysTo, 0);
      this.#noteEnd(id, readTimestamp(slabs.memory, builder.finish(1).column(endTo).data, 0));
    }
    builder.release();
  }

  snapshot(): HeldTable {
    const { u8 } = this.#context.slabs.memory;
    const rows: { hash: number; key: Uint8Array; values: Uint8Array }[] = [];
    for (const [key, record] of this.#record.entries()) {
      if (record === 0) continue;
      rows.push({ hash: this.#keys.hashOf(key), key: this.#keys.copyOut(key), values: u8.slice(record, record + this.#image.recordBytes(record)) });
    }
    return { rows };
  }

  *stateRows(): Generator<StateRow> {
    const { slabs } = this.#context;
    const { output, keysTo, valuesTo } = this.#columns;
    const builder = new BatchBuilder(slabs, output, 1);
    const key = new RowReader(output, keysTo);
    const value = new RowReader(
      output,
      [...keysTo, ...valuesTo].sort((a, b) => a - b),
    );
    for (const [id, record] of this.#record.entries()) {
      if (record === 0) continue;
      builder.reset();
      this.#keys.read(id, builder, keysTo, 0);
      this.#image.read(record, builder, valuesTo, 0);
      const batch = builder.finish(1);
      yield { key: key.read(batch, 0), value: value.read(batch, 0) };
    }
    builder.release();
  }

  release(): void {
    this.#keys.release();
    this.#pages.release();
  }

  #isSame(before: number, after: number): boolean {
    if (before === 0 || after === 0) return before === after;
    const bytes = this.#image.recordBytes(before);
    return bytes === this.#image.recordBytes(after) && sameBytes(this.#context.slabs.memory, before, after, bytes);
  }

  #put(key: number, record: number, isTakenBack: boolean): void {
    const { keysTo, valuesTo, output } = this.#columns;
    const out = this.#context.output.claim();
    const row = out.rowCount++;
    this.#keys.read(key, out, keysTo, row);
    this.#image.read(record, out, valuesTo, row);
    out.setValue(output.length - 1, row, isTakenBack);
  }

  #reserve(): void {
    const limit = this.#keys.idLimit;
    if (limit <= this.#record.length) return;
    this.#record = longer(this.#record, new Uint32Array(limit));
    this.#page = longer(this.#page, new Uint32Array(limit));
    this.#outRecord = longer(this.#outRecord, new Uint32Array(limit));
    this.#outPage = longer(this.#outPage, new Uint32Array(limit));
    this.#isTouched = longer(this.#isTouched, new Uint8Array(limit));
    if (this.#columns.end >= 0) this.#end = longer(this.#end, new Float64Array(limit).fill(Number.NaN));
  }
}

function longer<T extends Uint32Array | Uint8Array | Float64Array>(array: T, to: T): T {
  to.set(array);
  return to;
}
