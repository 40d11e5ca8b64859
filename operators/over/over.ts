/** One shard of `over`: plan-over.ts says what comes out. Rows are records of shared memory, not objects. */

import {
  type AnyRow,
  type Batch,
  BatchBuilder,
  type Column,
  type ColumnSpace,
  readTimestamp,
  readValue,
  type Schema,
  type SharedMemory,
} from '../../core/index.ts';
import { KeyIndex, RowImage, TimeHeap } from '../by-key/index.ts';
import { type DueTimes, hashKeys, named, type StateRow } from '../exchange/index.ts';
import { type KeyedContext, type KeyedInput, type KeyedOperator, RowReader } from '../keyed/index.ts';
import { FeatureResults } from './feature-results.ts';
import { HeldRows } from './held-rows.ts';
import { KeyWindows } from './key-windows.ts';
import { HAS_TIMER, KEPT, NEWEST, type OverLayout } from './over-layout.ts';
import { type OwnFeature, OwnFeatures, type OwnKey } from './own-features.ts';
import { restoreInto, snapshotOf, type WindowsSnapshot } from './window-snapshots.ts';

export interface OverPlan {
  readonly input: KeyedInput;
  readonly output: Schema;
  readonly layout: OverLayout;
  /** Those of the user. */
  readonly own: readonly OwnFeature[];
  /** Rows wait for the watermark. */
  readonly isSorted: boolean;
  /** How many columns of the output are those of the row. */
  readonly visible: number;
  readonly names: readonly string[];
}

interface HeldRow {
  readonly time: number;
  readonly rank: number;
  readonly hash: number;
  readonly isOut: boolean;
  readonly record: Uint8Array;
}

export interface OverSnapshot {
  /** Rows that wait, in their order. */
  readonly held: readonly HeldRow[];
  readonly windows: WindowsSnapshot;
  /** By key, in the order of `windows`. */
  readonly own: readonly OwnKey[];
}

export class Over implements KeyedOperator {
  readonly #context: KeyedContext;
  readonly #memory: SharedMemory;
  readonly #plan: OverPlan;
  readonly #image: RowImage;
  /** Column of the output of each column of the input; -1: it is hidden. */
  readonly #to: readonly number[];
  /** The key columns in the output. */
  readonly #keysTo: readonly number[];
  readonly #keys: KeyIndex;
  readonly #windows: KeyWindows;
  readonly #results: FeatureResults;
  readonly #held: HeldRows;
  /** Undefined: there are none. */
  readonly #own: OwnFeatures | undefined;
  /** When keys may have become old, one timer each at most. */
  readonly #expiries = new TimeHeap();
  #hashes = new Uint32Array(64);
  #scratch = 0;
  #scratchBytes = 0;
  readonly #keyColumns: ColumnSpace[] = [];
  readonly #isKey: boolean[] = [];
  readonly #rowNames: readonly string[];
  /** The watermark then. Rows from before it are read again after a restart, in any order, until it goes on. */
  readonly #openedAt: number;

  constructor(context: KeyedContext, plan: OverPlan, from: OverSnapshot | undefined) {
    this.#context = context;
    this.#plan = plan;
    this.#rowNames = plan.output.fields.slice(0, plan.visible).map(({ name }) => name);
    this.#openedAt = context.clock.watermark;
    const { slabs } = context;
    const { schema, keys } = plan.input;
    this.#memory = slabs.memory;
    this.#image = new RowImage(
      slabs.memory,
      schema.fields.map(({ type }) => type),
    );
    this.#to = schema.fields.map(({ name }) => {
      const at = plan.output.indexOf(name);
      return at < plan.visible ? at : -1;
    });
    this.#keysTo = keys.map((key) => this.#to[key] as number);
    this.#keys = new KeyIndex(
      slabs,
      keys.map((key) => schema.field(key).type),
    );
    this.#windows = new KeyWindows(slabs, plan.layout, this.#image);
    this.#results = new FeatureResults(slabs.memory, this.#windows);
    this.#own = plan.own.length === 0 ? undefined : new OwnFeatures(plan.own, context.failures.areSkipped);
    this.#held = new HeldRows(slabs, this.#image);
    if (from !== undefined) this.#restore(from);
  }

  get stateBytes(): number {
    return this.#keys.bytes + this.#windows.bytes + this.#held.bytes + this.#expiries.bytes + (this.#own?.bytes ?? 0);
  }

  /** When a row comes out: once the watermark has passed its time. When a key goes: once it has reached it. */
  get due(): DueTimes {
    return { time: Math.min(this.#held.firstTime + 1, this.#expiries.firstTime), clock: Number.POSITIVE_INFINITY };
  }

  onBatch(rows: Batch): void {
    const { input, isSorted } = this.#plan;
    const { eventTime, timeShiftMs, keys } = input;
    const { output, clock } = this.#context;
    if (rows.rowCount > this.#hashes.length) this.#hashes = new Uint32Array(rows.rowCount * 2);
    const hashes = this.#hashes;
    hashKeys(
      this.#memory,
      keys.map((key) => rows.column(key)),
      rows.rowCount,
      hashes,
    );
    const { columns } = rows;
    const rank = this.#context.origin?.() ?? 0;
    const times = eventTime < 0 ? 0 : rows.column(eventTime).data;
    for (let row = 0; row < rows.rowCount; row++) {
      const time = eventTime < 0 ? 0 : readTimestamp(this.#memory, times, row) + timeShiftMs;
      // A row that would be late, had a restart not read it again, came out before the restart.
      const isOut = eventTime >= 0 && time < clock.watermark;
      if (isSorted) this.#held.add(columns, row, time, rank, hashes[row] as number, isOut);
      else {
        output.at(row);
        this.#take(this.#record(columns, row), time, hashes[row] as number, isOut, row);
      }
    }
  }

  onWatermark(watermark: number): void {
    const held = this.#held;
    held.settle();
    while (held.firstTime < watermark && watermark > this.#openedAt) {
      const row = held.takeFirst();
      this.#take(held.records[row] as number, held.times[row] as number, held.hashes[row] as number, held.isOut[row] === 1, -1);
      held.drop(row);
    }
    // The end of the input is not a passing of time.
    while (watermark !== Number.POSITIVE_INFINITY && this.#expiries.firstTime <= watermark) this.#expire(this.#expiries.pop(), watermark);
  }

  snapshot(): OverSnapshot {
    const held = this.#held;
    return {
      held: Array.from(
        held.inOrder(),
        (row): HeldRow => ({
          time: held.times[row] as number,
          rank: held.ranks[row] as number,
          hash: held.hashes[row] as number,
          isOut: held.isOut[row] === 1,
          record: held.copyOut(row),
        }),
      ),
      windows: snapshotOf(this.#memory, this.#keys, this.#keysHeld(), this.#windows),
      own: this.#own === undefined ? [] : this.#keysHeld().map((key) => (this.#own as OwnFeatures).copy(key)),
    };
  }

  /** The rows that wait; and by key how many rows are kept, and the features of the newest one. */
  *stateRows(): Generator<StateRow> {
    const { output, input, visible, names } = this.#plan;
    const builder = new BatchBuilder(this.#context.slabs, output, 8);
    const keyReader = new RowReader(
      output,
      input.keys.map((key) => this.#to[key] as number),
    );
    const rowReader = new RowReader(
      output,
      Array.from({ length: visible }, (_, c) => c),
    );
    const fill = (record: number): Batch => {
      builder.reset();
      this.#image.read(record, builder, this.#to, 0);
      builder.columns.forEach(({ offsets, byteLength }, c) => {
        if (c >= visible && offsets !== 0) this.#memory.i32[(offsets >>> 2) + 1] = byteLength;
      });
      return builder.finish(1);
    };
    try {
      for (const row of this.#held.inOrder()) {
        const batch = fill(this.#held.records[row] as number);
        yield { key: keyReader.read(batch, 0), time: this.#held.times[row] as number, value: rowReader.read(batch, 0) };
      }
      for (const key of this.#keysHeld()) {
        builder.reset();
        this.#keys.read(key, builder, this.#keysTo, 0);
        this.#writeResults(key, builder, 0);
        const batch = builder.finish(1);
        const of = this.#windows.records.at(key);
        const newest = this.#memory.f64[(of + NEWEST) >>> 3] as number;
        const features = names.map((_, f) => batch.value(visible + f, 0));
        const value: AnyRow = named(names, features);
        yield {
          key: keyReader.read(batch, 0),
          rows: this.#memory.u32[(of + KEPT) >>> 2] as number,
          ...(input.eventTime < 0 ? {} : { newest }),
          value,
          expires: this.#plan.layout.isLasting ? null : newest + this.#plan.layout.withinMs,
        };
      }
    } finally {
      builder.release();
    }
  }

  release(): void {
    this.#keys.release();
    this.#windows.release();
    this.#held.release();
    if (this.#scratch !== 0) this.#context.slabs.free(this.#scratch);
    this.#scratch = 0;
    this.#scratchBytes = 0;
  }

  /**
   * Puts a row out with its features, unless it came out before. Either way later rows see it. A row on which a
   * function fails is left out, and no row sees it.
   *
   * @param batchRow its number in the batch that is being taken; -1: it has waited
   */
  #take(record: number, time: number, hash: number, isOut: boolean, batchRow: number): void {
    const out = this.#context.output.claim();
    const row = out.rowCount;
    this.#image.read(record, out, this.#to, row);
    const { size } = this.#keys;
    const key = this.#key(out, row, hash);
    if (this.#own !== undefined && !this.#takeOwn(this.#own, out, row, key, time, batchRow)) {
      out.truncate(row);
      if (this.#keys.size > size) this.#forget(key);
      return;
    }
    this.#windows.add(key, time, record);
    this.#watch(key);
    if (isOut) {
      out.truncate(row);
      return;
    }
    this.#writeResults(key, out, row);
    out.rowCount = row + 1;
  }

  /** False: a function failed, and nothing has changed. */
  #takeOwn(own: OwnFeatures, out: BatchBuilder, row: number, key: number, time: number, batchRow: number): boolean {
    const { atWork, failures } = this.#context;
    const values = this.#plan.output.fields.slice(0, this.#plan.visible).map((_, c) => readValue(this.#memory, out.columns[c] as Column, row));
    const object = Object.freeze(named(this.#rowNames, values));
    const now = Math.max(this.#memory.f64[(this.#windows.records.at(key) + NEWEST) >>> 3] as number, time);
    atWork[0] = batchRow;
    try {
      own.add(key, object, now);
      return true;
    } catch (error) {
      failures.skip(error, batchRow >= 0 ? batchRow : object);
      return false;
    }
  }

  #writeResults(key: number, out: BatchBuilder, row: number): void {
    this.#results.write(key, out, row);
    if (this.#own === undefined) return;
    const values = this.#own.valuesOf(key);
    this.#plan.own.forEach(({ column }, f) => out.setValue(column, row, values[f]));
  }

  #forget(key: number): void {
    this.#keys.remove(key);
    this.#own?.forget(key);
    this.#isKey[key] = false;
  }

  #key(out: BatchBuilder, row: number, hash: number): number {
    const columns = this.#keyColumns;
    for (let k = 0; k < this.#keysTo.length; k++) columns[k] = out.columns[this.#keysTo[k] as number] as ColumnSpace;
    const { size } = this.#keys;
    const key = this.#keys.intern(columns as readonly Column[], row, hash);
    if (this.#keys.size > size) this.#open(key);
    return key;
  }

  readonly #open = (key: number): void => {
    this.#windows.records.open(key);
    this.#isKey[key] = true;
  };

  /** A timer for a key, where it has none and may become old. */
  #watch(key: number): void {
    const { withinMs } = this.#plan.layout;
    if (withinMs === 0) return;
    const { u32, f64 } = this.#memory;
    const of = this.#windows.records.at(key);
    if (u32[(of + HAS_TIMER) >>> 2] === 1) return;
    u32[(of + HAS_TIMER) >>> 2] = 1;
    this.#expiries.push((f64[(of + NEWEST) >>> 3] as number) + withinMs, 0, key);
  }

  #expire(key: number, watermark: number): void {
    const { u32, f64 } = this.#memory;
    const of = this.#windows.records.at(key);
    const end = (f64[(of + NEWEST) >>> 3] as number) + this.#plan.layout.withinMs;
    u32[(of + HAS_TIMER) >>> 2] = 0;
    if (end > watermark) this.#watch(key);
    else if (this.#windows.expire(key, watermark)) this.#forget(key);
  }

  #keysHeld(): number[] {
    return this.#isKey.flatMap((is, key) => (is ? [key] : []));
  }

  #record(columns: readonly Column[], row: number): number {
    const bytes = this.#image.size(columns, row);
    if (bytes > this.#scratchBytes) {
      if (this.#scratch !== 0) this.#context.slabs.free(this.#scratch);
      this.#scratch = this.#context.slabs.alloc(bytes);
      this.#scratchBytes = this.#context.slabs.slabBytes(this.#scratch);
    }
    this.#image.write(columns, row, this.#scratch);
    return this.#scratch;
  }

  #restore({ held, windows, own }: OverSnapshot): void {
    for (const { time, rank, hash, isOut, record } of held) this.#held.addRecord(record, time, rank, hash, isOut);
    this.#held.settle();
    restoreInto(this.#memory, this.#keys, this.#windows, windows, this.#open);
    this.#keysHeld().forEach((key, place) => {
      this.#watch(key);
      this.#own?.restore(key, own[place] as OwnKey);
    });
  }
}
