/**
 * Folds of whole rows by key: reduce and top, running or in windows. A fold says how a row goes into a value and how two
 * values become one; this file keeps the values: one a key, or one a key and pane. Aggregates with a fixed slot (sums, counts,
 * sketches) are better off in aggregate-plan.ts: they are combined before they travel.
 *
 *   running   Map key -> value. At the end of an epoch the keys that changed come out, with their value so far
 *   windowed  pane -> Map key -> value. A window is put together when the watermark closes it, by merging its panes; or, where
 *             the fold can take values out again, by adding the pane that enters to a running value and removing the one that leaves
 *
 * Windows, lateness and emission as told in windows.ts. Within a pane rows are folded in the order in which they come; panes
 * in the order of time.
 */

import { assert, type Batch, type Field, MillraceError, type PaneGrid, readTimestamp, Schema, shown, timestamp } from '../core/index.ts';
import type { EpochClock, KeyedContext, KeyedInput, KeyedOperator, KeyedOperatorPlan } from './keyed-operator.ts';
import type { RowOutput } from './row-output.ts';
import { type Key, keyReader, roughBytes } from './row-values.ts';
import { TimerQueue } from './timer-queue.ts';
import { paneGridOf, type WindowSpec } from './windows.ts';

/** How rows become one value. Values must be something that structured clone can copy. */
export interface RowFold<A = unknown> {
  /** As explain calls it. */
  readonly name: string;
  /** Columns of the result behind the key columns (and the bounds of the window). */
  readonly fields: readonly Field[];
  /** Puts a row into a value; may change and return it. The same value again, by identity, means nothing changed, if `tellsChanges`. */
  add(value: A | undefined, batch: Batch, row: number): A;
  /** Puts `from` into a value; may change `value`, never `from`. */
  merge(value: A | undefined, from: A): A;
  /** Takes `from` out of a value that it was put into, the oldest first. Undefined: it cannot. */
  readonly remove: ((value: A, from: A) => A) | undefined;
  readonly tellsChanges: boolean;
  /** Calls `put` with the values of `fields` for each result row of a key. */
  results(value: A, put: (values: readonly unknown[]) => void): void;
}

export interface FoldRequest {
  readonly input: Schema;
  readonly keys: readonly string[];
  readonly fold: RowFold;
  readonly window: WindowSpec | undefined;
  /** Name of the event time column; needed with a window. */
  readonly eventTime: string | undefined;
  readonly timeShiftMs: 0 | -1;
  /** Running only: drops the value of a key for which no row came for so long, in event time where there is one. */
  readonly ttlMs?: number | undefined;
}

/** @throws MillraceError ERR_MILLRACE_PIPELINE when a column is missing or two result columns have one name */
export function planFold(request: FoldRequest): KeyedOperatorPlan {
  const { input, fold, window, eventTime, timeShiftMs } = request;
  const keys = request.keys.map((name) => input.require(name, 'keyBy'));
  const time = eventTime === undefined ? -1 : input.require(eventTime, 'withWatermark');
  const grid = window === undefined ? undefined : paneGridOf(window);
  assert(window === undefined || time >= 0, 'a window without event time');
  const rows: KeyedInput = { schema: input, keys, columns: input.fields.map((_, c) => c), eventTime: window === undefined ? -1 : time, timeShiftMs };
  const output = resultSchema(
    keys.map((key) => input.field(key)),
    window !== undefined,
    fold.fields,
  );
  return {
    name: fold.name,
    inputs: [rows],
    output,
    outputTime: window === undefined ? undefined : { column: 'windowEnd', shiftMs: -1, delayMs: window.latenessMs },
    lateBefore: (watermark) => (grid === undefined || window === undefined ? Number.NEGATIVE_INFINITY : firstOpenTime(grid, window, watermark)),
    heldUntil: (maxTimeMs) =>
      grid === undefined || window === undefined ? Number.POSITIVE_INFINITY : grid.paneExpiry(grid.paneOf(maxTimeMs)) + window.latenessMs,
    open: (context, from) =>
      grid === undefined || window === undefined
        ? new RunningFold(fold, rows, time, request.ttlMs, context, from as RunningSnapshot | undefined)
        : new WindowedFold(fold, rows, grid, window, context, from as WindowedSnapshot | undefined),
    describe: () => describe(request, grid),
  };
}

/** Start of the first window that is open at a watermark: rows before it are late. */
export function firstOpenTime(grid: PaneGrid, window: WindowSpec, watermark: number): number {
  return Number.isFinite(watermark) ? grid.windowStart(grid.lastWindowEndedBy(watermark - window.latenessMs) + 1) : watermark;
}

/** Key columns, bounds of the window, results. */
export function resultSchema(keys: readonly Field[], hasWindow: boolean, fields: readonly Field[]): Schema {
  const all = [
    ...keys,
    ...(hasWindow
      ? [
          { name: 'windowStart', type: timestamp },
          { name: 'windowEnd', type: timestamp },
        ]
      : []),
    ...fields,
  ];
  const seen = new Set<string>();
  for (const { name } of all) {
    if (seen.has(name)) {
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `Two result columns would be named ${shown(name)}. The result has the key columns${hasWindow ? ', windowStart and windowEnd' : ''} and ${fields.map((field) => field.name).join(', ')}: rename the column with map() before.`,
      );
    }
    seen.add(name);
  }
  return new Schema(all);
}

function describe({ keys, window, fold, ttlMs }: FoldRequest, grid: PaneGrid | undefined): string {
  const lines = [`${fold.name} by ${keys.join(', ') || '(none: one key)'}`];
  if (window === undefined || grid === undefined)
    lines.push(`  running: one value a key${ttlMs === undefined ? '' : `, dropped ${ttlMs} ms after the last row`}`);
  else {
    lines.push(`  window    ${window}; a window is ${grid.panesPerWindow} pane${grid.panesPerWindow === 1 ? '' : 's'}`);
    lines.push(
      isRunning(fold, grid, window)
        ? '  strategy  running: add the pane that enters, take out the one that leaves'
        : `  strategy  merge: ${grid.panesPerWindow === 1 ? 'a window is one pane' : `the panes of each window are merged, as there is ${fold.remove === undefined ? 'no inverse' : 'a value at every epoch'}`}`,
    );
  }
  return lines.join('\n');
}

function isRunning(fold: RowFold, grid: PaneGrid, window: WindowSpec): boolean {
  return fold.remove !== undefined && grid.panesPerWindow > 1 && window.emission === 'final';
}

interface Group {
  readonly id: Key;
  readonly key: readonly unknown[];
  value: unknown;
}

/** Makes groups of rows, and rows of groups. */
class Groups {
  readonly fold: RowFold;
  readonly #keyOf: (batch: Batch, row: number) => Key;
  readonly #keys: readonly number[];
  readonly #output: RowOutput;

  constructor(fold: RowFold, input: KeyedInput, output: RowOutput) {
    this.fold = fold;
    this.#keyOf = keyReader(input.keys, input.schema);
    this.#keys = input.keys;
    this.#output = output;
  }

  /** Adds a row to its group among `groups`. Returns the group, or undefined when nothing changed. */
  add<G extends Group>(groups: Map<Key, G>, batch: Batch, row: number, make: (group: Group) => G): G | undefined {
    const id = this.#keyOf(batch, row);
    const known = groups.get(id);
    if (known !== undefined) {
      const before = known.value;
      known.value = this.fold.add(before, batch, row);
      return this.fold.tellsChanges && known.value === before ? undefined : known;
    }
    const group = make({ id, key: this.#keys.map((key) => batch.value(key, row)), value: this.fold.add(undefined, batch, row) });
    groups.set(id, group);
    return group;
  }

  keyOf(batch: Batch, row: number): Key {
    return this.#keyOf(batch, row);
  }

  put({ key, value }: Group, bounds: readonly number[]): void {
    this.fold.results(value, (values) => this.#output.append([...key, ...bounds, ...values]));
  }
}

interface RunningGroup extends Group {
  expiry: number;
  isGone: boolean;
}

interface RunningSnapshot {
  readonly groups: readonly (Group & { readonly expiry: number })[];
}

const NO_BOUNDS: readonly number[] = [];

class RunningFold implements KeyedOperator {
  readonly #groups: Groups;
  readonly #time: number;
  readonly #shiftMs: number;
  readonly #ttlMs: number | undefined;
  readonly #clock: EpochClock;
  readonly #values = new Map<Key, RunningGroup>();
  readonly #changed = new Set<RunningGroup>();
  readonly #expiries = new TimerQueue<RunningGroup>();

  constructor(fold: RowFold, input: KeyedInput, time: number, ttlMs: number | undefined, context: KeyedContext, from: RunningSnapshot | undefined) {
    this.#groups = new Groups(fold, input, context.output);
    this.#time = time;
    this.#shiftMs = input.timeShiftMs;
    this.#ttlMs = ttlMs;
    this.#clock = context.clock;
    for (const group of from?.groups ?? []) {
      const restored = { ...group, isGone: false };
      this.#values.set(group.id, restored);
      if (ttlMs !== undefined) this.#expiries.add(group.expiry, restored);
    }
  }

  get stateBytes(): number {
    return sampledBytes(this.#values) + this.#expiries.size * 56;
  }

  onBatch(rows: Batch): void {
    for (let row = 0; row < rows.rowCount; row++) {
      const changed = this.#groups.add(this.#values, rows, row, (group) => ({ ...group, expiry: Number.NEGATIVE_INFINITY, isGone: false }));
      if (changed !== undefined) this.#changed.add(changed);
      if (this.#ttlMs !== undefined) this.#touch(changed ?? (this.#values.get(this.#groups.keyOf(rows, row)) as RunningGroup), rows, row);
    }
  }

  onWatermark(watermark: number): void {
    for (const group of this.#changed) this.#groups.put(group, NO_BOUNDS);
    this.#changed.clear();
    const expired = this.#time >= 0 ? watermark : this.#clock.nowMs;
    while (expired !== Number.POSITIVE_INFINITY && this.#expiries.firstTime <= expired) {
      const { owner } = this.#expiries.take();
      if (owner.expiry > expired) this.#expiries.add(owner.expiry, owner);
      else if (!owner.isGone) {
        owner.isGone = true;
        this.#values.delete(owner.id);
      }
    }
  }

  snapshot(): RunningSnapshot {
    return structuredClone({ groups: [...this.#values.values()].map(({ id, key, value, expiry }) => ({ id, key, value, expiry })) });
  }

  #touch(group: RunningGroup, rows: Batch, row: number): void {
    const time = this.#time < 0 ? this.#clock.nowMs : readTimestamp(rows.memory, rows.column(this.#time).data, row) + this.#shiftMs;
    const isNew = group.expiry === Number.NEGATIVE_INFINITY;
    group.expiry = Math.max(group.expiry, time + (this.#ttlMs as number));
    if (isNew) this.#expiries.add(group.expiry, group);
  }
}

interface Pane {
  readonly number: number;
  readonly groups: Map<Key, Group>;
}

interface WindowedSnapshot {
  readonly watermark: number;
  readonly panes: readonly Pane[];
  readonly running: RunningWindow | undefined;
}

/** The values of one window, to go on from to the next. */
interface RunningWindow {
  window: number;
  /** Groups with how many panes of the window have them. */
  readonly groups: Map<Key, { readonly group: Group; panes: number }>;
}

class WindowedFold implements KeyedOperator {
  readonly #groups: Groups;
  readonly #input: KeyedInput;
  readonly #grid: PaneGrid;
  readonly #window: WindowSpec;
  /** Ascending by number. */
  readonly #panes: Pane[] = [];
  /** Emit 'update': the groups of this epoch that changed, by pane. */
  readonly #changed = new Map<Pane, Map<Key, Group>>();
  #running: RunningWindow | undefined;
  #watermark: number;
  /** The first window that is still open. */
  #next: number;

  constructor(fold: RowFold, input: KeyedInput, grid: PaneGrid, window: WindowSpec, context: KeyedContext, from: WindowedSnapshot | undefined) {
    this.#groups = new Groups(fold, input, context.output);
    this.#input = input;
    this.#grid = grid;
    this.#window = window;
    // After a restart the windows up to the committed watermark are closed.
    this.#watermark = from?.watermark ?? context.clock.watermark;
    this.#next = this.#firstOpenWindow(this.#watermark);
    this.#panes.push(...(from?.panes ?? []));
    this.#running = from?.running;
  }

  get stateBytes(): number {
    let bytes = 0;
    for (const { groups } of this.#panes) bytes += 200 + sampledBytes(groups);
    return bytes + (this.#running === undefined ? 0 : this.#running.groups.size * 96);
  }

  onBatch(rows: Batch): void {
    const { data } = rows.column(this.#input.eventTime);
    const update = this.#window.emission === 'update';
    let pane: Pane | undefined;
    for (let row = 0; row < rows.rowCount; row++) {
      const number = this.#grid.paneOf(readTimestamp(rows.memory, data, row) + this.#input.timeShiftMs);
      if (pane?.number !== number) pane = this.#pane(number);
      const changed = this.#groups.add(pane.groups, rows, row, (group) => group);
      if (changed === undefined || !update) continue;
      const groups = this.#changed.get(pane);
      if (groups === undefined) this.#changed.set(pane, new Map([[changed.id, changed]]));
      else groups.set(changed.id, changed);
    }
  }

  onWatermark(watermark: number): void {
    this.#watermark = watermark;
    const next = this.#firstOpenWindow(watermark);
    if (this.#window.emission === 'update') this.#emitChanges();
    else this.#emitClosed(next);
    if (next > this.#next) {
      this.#next = next;
      this.#dropBelow(this.#grid.firstPane(next));
    }
  }

  snapshot(): WindowedSnapshot {
    return structuredClone({ watermark: this.#watermark, panes: this.#panes, running: this.#running });
  }

  #firstOpenWindow(watermark: number): number {
    return Number.isFinite(watermark) ? this.#grid.lastWindowEndedBy(watermark - this.#window.latenessMs) + 1 : watermark;
  }

  /** The pane of a number, made where it is missing. */
  #pane(number: number): Pane {
    const panes = this.#panes;
    // Late rows are rare: the last pane is most likely.
    let at = panes.length;
    while (at > 0 && (panes[at - 1] as Pane).number > number) at--;
    const known = panes[at - 1];
    // What the running window holds of this pane is no longer true.
    if (this.#running !== undefined && number <= this.#grid.lastPane(this.#running.window)) this.#running = undefined;
    if (known?.number === number) return known;
    const pane: Pane = { number, groups: new Map() };
    panes.splice(at, 0, pane);
    return pane;
  }

  /** Emits all windows before `next` that have a row and are open yet. */
  #emitClosed(next: number): void {
    const grid = this.#grid;
    const runs = isRunning(this.#groups.fold, grid, this.#window);
    let window = this.#next;
    while (this.#panes.length > 0) {
      window = Math.max(window, grid.firstWindowOf((this.#panes[0] as Pane).number));
      if (window >= next) return;
      const bounds = [grid.windowStart(window), grid.windowEnd(window)];
      if (runs) for (const { group } of this.#moveTo(window).values()) this.#groups.put(group, bounds);
      else for (const group of this.#merged(window, undefined)) this.#groups.put(group, bounds);
      window++;
      if (runs) this.#leave(window);
      this.#dropBelow(grid.firstPane(window));
    }
    this.#running = undefined;
  }

  /** Emits, of each open window, the groups that changed in this epoch. */
  #emitChanges(): void {
    const grid = this.#grid;
    const windows = new Map<number, Set<Key>>();
    for (const [pane, groups] of this.#changed) {
      for (let window = Math.max(this.#next, grid.firstWindowOf(pane.number)); window <= grid.lastWindowOf(pane.number); window++) {
        const keys = windows.get(window) ?? new Set();
        windows.set(window, keys);
        for (const key of groups.keys()) keys.add(key);
      }
    }
    for (const window of [...windows.keys()].sort((a, b) => a - b)) {
      const bounds = [grid.windowStart(window), grid.windowEnd(window)];
      for (const group of this.#merged(window, windows.get(window))) this.#groups.put(group, bounds);
    }
    this.#changed.clear();
  }

  /** The groups of a window, all or the named ones, in the order of their first panes. */
  #merged(window: number, only: ReadonlySet<Key> | undefined): Iterable<Group> {
    const { fold } = this.#groups;
    const first = this.#grid.firstPane(window);
    const last = this.#grid.lastPane(window);
    if (first === last && only === undefined) return this.#panes.find((pane) => pane.number === first)?.groups.values() ?? [];
    const merged = new Map<Key, Group>();
    for (const { number, groups } of this.#panes) {
      if (number < first) continue;
      if (number > last) break;
      for (const group of groups.values()) {
        if (only !== undefined && !only.has(group.id)) continue;
        const known = merged.get(group.id);
        if (known === undefined) merged.set(group.id, { id: group.id, key: group.key, value: fold.merge(undefined, group.value) });
        else known.value = fold.merge(known.value, group.value);
      }
    }
    return merged.values();
  }

  /** The running values of a window: from those of an earlier one by the panes that came in since, or from its panes. */
  #moveTo(window: number): RunningWindow['groups'] {
    const { fold } = this.#groups;
    const from = this.#running === undefined ? this.#grid.firstPane(window) : this.#grid.lastPane(this.#running.window) + 1;
    this.#running ??= { window, groups: new Map() };
    this.#running.window = window;
    const { groups: running } = this.#running;
    for (const { number, groups } of this.#panes) {
      if (number < from) continue;
      if (number > this.#grid.lastPane(window)) break;
      for (const { id, key, value } of groups.values()) {
        const known = running.get(id);
        if (known === undefined) running.set(id, { group: { id, key, value: fold.merge(undefined, value) }, panes: 1 });
        else {
          known.group.value = fold.merge(known.group.value, value);
          known.panes++;
        }
      }
    }
    return running;
  }

  /** Takes the panes out of the running values that `window` and later ones do not have. */
  #leave(window: number): void {
    const { fold } = this.#groups;
    const { groups: running } = this.#running as RunningWindow;
    for (const { number, groups } of this.#panes) {
      if (number >= this.#grid.firstPane(window)) break;
      for (const { id, value } of groups.values()) {
        const known = running.get(id) as { readonly group: Group; panes: number };
        known.panes--;
        // A key of no pane is gone: there is nothing to subtract from, and no error is kept.
        if (known.panes === 0) running.delete(id);
        else known.group.value = (fold.remove as NonNullable<RowFold['remove']>)(known.group.value, value);
      }
    }
  }

  #dropBelow(pane: number): void {
    let count = 0;
    while (count < this.#panes.length && (this.#panes[count] as Pane).number < pane) count++;
    this.#panes.splice(0, count);
  }
}

/** The first hundred stand for all. */
function sampledBytes(groups: ReadonlyMap<Key, Group>): number {
  let bytes = 0;
  let looked = 0;
  for (const { id, value } of groups.values()) {
    if (looked++ === 100) break;
    bytes += 120 + roughBytes(id) + roughBytes(value, 2);
  }
  return Math.round(groups.size <= 100 ? bytes : bytes * (groups.size / 100));
}
