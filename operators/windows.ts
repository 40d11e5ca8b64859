/**
 * Windows as a user writes them: `tumbling('1m')`, `sliding('1m', '10s').lateness('5s').emit('update')`. They
 * are descriptions only, immutable; the plan (aggregate-plan.ts) decides how a window is computed.
 *
 * What a window emits, and when. The watermark is the event time that the stream has passed. It moves at the
 * end of an epoch, so everything described here happens at the end of epochs. A window includes its start and
 * excludes its end.
 *
 *   emit('final')   (default) every key of a window once: when the watermark reaches end + lateness. Until
 *                   then rows are merged, late or not. Lateness thus trades delay for completeness; results
 *                   never change.
 *   emit('update')  at the end of every epoch, for each key and window that changed in it, the value so far:
 *                   early results before the end, corrections for `lateness` after it. The last row of a key
 *                   and window is its final value. A sink for this must overwrite by key and window.
 *   emit('revise')  on time, and again for late rows: every key of a window when the watermark reaches its
 *                   end; then, for `lateness`, at the end of every epoch, the keys that late rows have
 *                   changed, with their new values. A sink for this must overwrite by key and window, too.
 *
 * A result may replace one whose key and bounds no longer exist, as with sessions that a row joins. The old
 * result then comes once more with `retracted: true` (session/session-plan.ts): results of sessions with
 * `update` or `revise` have that column.
 *
 * A row is late when every window that it belongs to is closed: when the watermark, as of the start of the
 * row's epoch, has reached end + lateness. A late row changes no result. It is counted and goes to the late
 * output. A row that is late for only some of its windows is counted in the others. A row without an event
 * time (null), or with one that no calendar has (beyond 8.64e15 ms), is treated as late.
 */

import { CumulativeGrid, checkOptionNames, type Duration, durationMs, MillraceError, OpenWindows, PaneGrid, shown, ZoneGrid } from '../core/index.ts';

/** When the results of a window are emitted. */
export type Emission = 'final' | 'update' | 'revise';

/** Windows of rows: row-windows.ts. */
export type RowWindowShape =
  | { readonly kind: 'count'; readonly rows: number; readonly slideRows: number }
  | { readonly kind: 'global'; readonly countRows: number | undefined; readonly timeMs: number | undefined; readonly purges: boolean };

/** Windows of time, made of panes: core/panes/pane-grid.ts. */
export type TimeWindowShape =
  | { readonly kind: 'tumbling'; readonly sizeMs: number; readonly offsetMs: number; readonly zone?: string }
  | { readonly kind: 'sliding'; readonly sizeMs: number; readonly slideMs: number; readonly offsetMs: number }
  | { readonly kind: 'cumulative'; readonly sizeMs: number; readonly stepMs: number };

/** Windows of activity: session/session-plan.ts. */
export interface SessionShape {
  readonly kind: 'session';
  /** 0 where rows have gaps of their own. */
  readonly gapMs: number;
  /** The gap of a row. Where each has one of its own. */
  readonly gapOf?: (row: never) => number;
}

export type WindowShape = TimeWindowShape | RowWindowShape | SessionShape;

/** How a window differs from the default of its shape. */
interface WindowManners {
  readonly latenessMs: number;
  readonly emission: Emission;
  readonly hasEmpty: boolean;
}

/**
 * A window with its options. Immutable: `lateness`, `emit` and `emptyWindows` return a new one. E: windows
 * without rows come out, too. T: results replace earlier ones, so that they are a table. R: the rows that it is for.
 */
export class WindowSpec<S extends WindowShape = WindowShape, E extends boolean = boolean, T extends boolean = boolean, R = unknown> {
  /** For the type checker only. */
  declare readonly _row?: (row: R) => void;
  readonly shape: S;
  readonly latenessMs: number;
  readonly emission: Emission;
  /** Windows without rows come out, too. */
  readonly hasEmpty: E;

  constructor(shape: S, { latenessMs = 0, emission = 'final', hasEmpty = false }: Partial<WindowManners> = {}) {
    this.shape = Object.freeze(shape);
    this.latenessMs = latenessMs;
    this.emission = emission;
    this.hasEmpty = hasEmpty as E;
    Object.freeze(this);
  }

  /**
   * How long after its end (in event time, by the watermark) a window still takes rows.
   *
   * @throws MillraceError ERR_MILLRACE_OPTION when it is not a duration
   */
  lateness(duration: Duration): WindowSpec<S, E, T, R> {
    this.#mustBeOfTime('lateness');
    return new WindowSpec(this.shape, { ...this, latenessMs: durationMs(duration, `The lateness of ${this}`) });
  }

  /** @throws MillraceError ERR_MILLRACE_OPTION when it is none of 'final', 'update' and 'revise' */
  emit<M extends Emission>(emission: M): WindowSpec<S, E, M extends 'final' ? false : true, R> {
    this.#mustBeOfTime('emit');
    if (emission !== 'final' && emission !== 'update' && emission !== 'revise') {
      throw new MillraceError(
        'ERR_MILLRACE_OPTION',
        `emit() of ${this} is given ${shown(emission)}. Give 'final' (each window once), 'update' (at every epoch that changes it) or 'revise' (at its end, and again for late rows).`,
      );
    }
    return new WindowSpec(this.shape, { ...this, emission });
  }

  /**
   * Windows without a row come out, too: counts are 0 there, other aggregates null. For `windowAll`, whose
   * windows have no key: those between the first row and the watermark, as the watermark closes them. A
   * stretch of more than {@link EMPTY_WINDOWS_MAX} windows without rows is left out: such a stretch means
   * that a time is wrong.
   *
   * @example .windowAll(sliding('30s', '10s').emptyWindows()).count()
   * @throws MillraceError ERR_MILLRACE_OPTION for windows of rows and sessions, which exist only through rows
   */
  emptyWindows(): WindowSpec<S, true, T, R> {
    if (isRowWindow(this.shape) || this.shape.kind === 'session') {
      throw new MillraceError(
        'ERR_MILLRACE_OPTION',
        `emptyWindows() of ${this}: rows make these windows, so none is empty. Take tumbling(), sliding() or cumulative().`,
      );
    }
    return new WindowSpec<S, true, T, R>(this.shape, { ...this, hasEmpty: true });
  }

  /** As explain prints it. */
  toString(): string {
    const { shape } = this;
    if (isRowWindow(shape)) return rowWindowTitle(shape);
    const ms = timeWindowTitle(shape);
    return `${shape.kind}(${ms})${this.latenessMs > 0 ? `, lateness ${this.latenessMs} ms` : ''}${this.emission === 'final' ? '' : `, emit ${this.emission}`}${this.hasEmpty ? ', empty ones too' : ''}`;
  }

  #mustBeOfTime(what: string): void {
    if (!isRowWindow(this.shape)) return;
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `${what}() of ${this}: a window of rows is over when its rows are there, whatever their times; no row is late for it. Leave ${what}() out, or take a window of time.`,
    );
  }
}

/** Whether a window counts rows rather than time. */
export function isRowWindow(shape: WindowShape): shape is RowWindowShape {
  return shape.kind === 'count' || shape.kind === 'global';
}

function timeWindowTitle(shape: TimeWindowShape | SessionShape): string {
  switch (shape.kind) {
    case 'tumbling':
      return `${shape.sizeMs} ms${offsetTitle(shape.offsetMs)}${shape.zone === undefined ? '' : `, zone ${shape.zone}`}`;
    case 'sliding':
      return `${shape.sizeMs} ms every ${shape.slideMs} ms${offsetTitle(shape.offsetMs)}`;
    case 'cumulative':
      return `${shape.sizeMs} ms in steps of ${shape.stepMs} ms`;
    case 'session':
      return shape.gapOf === undefined ? `gap ${shape.gapMs} ms` : 'gap by row';
  }
}

function offsetTitle(offsetMs: number): string {
  return offsetMs === 0 ? '' : `, offset ${offsetMs} ms`;
}

function rowWindowTitle(shape: RowWindowShape): string {
  if (shape.kind === 'count') return `count(${shape.rows} rows${shape.slideRows === shape.rows ? '' : `, every ${shape.slideRows} rows`})`;
  const triggers = [...(shape.countRows === undefined ? [] : [`${shape.countRows} rows`]), ...(shape.timeMs === undefined ? [] : [`${shape.timeMs} ms`])];
  return `global(${triggers.length === 0 ? 'at the end' : `fires after ${triggers.join(' or ')}`}${shape.purges ? ', then begins anew' : ''})`;
}

/**
 * Most panes in one window. Beyond it the slide is surely a mistake, and the state would be millions of
 * tables.
 */
export const PANES_PER_WINDOW_MAX = 100_000;

/** Most consecutive windows without rows that come out: see {@link WindowSpec.emptyWindows}. */
export const EMPTY_WINDOWS_MAX = 100_000;
/** Windows in a time zone last whole hours of its clocks. */
const HOUR_MS = 3_600_000;

/** A duration that may be negative: `'-5s'`. */
export type SignedDuration = Duration | `-${Extract<Duration, string>}`;

export interface TumblingOptions {
  /**
   * Shifts the windows, by less than their size: with '15m', windows of an hour begin at a quarter past. May
   * be negative.
   */
  readonly offset?: SignedDuration;
  /**
   * A name of an IANA time zone, such as 'Europe/Berlin': days and hours by the clocks there, for sizes of
   * whole hours. A day on which the clocks change lasts 23 or 25 hours. The bounds are ms since 1970, as
   * always. See core/panes/zone-grid.ts.
   */
  readonly zone?: string;
}

/**
 * Consecutive windows of `size`. The first starts at 1970 plus `offset`; with a `zone`, at midnight there.
 *
 * @example tumbling('1d', { zone: 'Europe/Berlin' })
 * @throws MillraceError ERR_MILLRACE_OPTION when the size is no duration of at least 1 ms, the offset is not
 * shorter than it, there is no such zone, or a size in a zone is not of whole hours
 */
export function tumbling(size: Duration, options: TumblingOptions = {}): WindowSpec<WindowShape, false, false> {
  checkOptionNames('tumbling()', options, { offset: true, zone: true });
  const sizeMs = durationMs(size, 'The size of tumbling()', 1);
  const offsetMs = offsetOf(options.offset, 'tumbling()', sizeMs, 'its size');
  const { zone } = options;
  if (zone === undefined) return new WindowSpec({ kind: 'tumbling', sizeMs, offsetMs });
  if (sizeMs % HOUR_MS !== 0) {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `tumbling() has a size of ${sizeMs} ms in the zone ${shown(zone)}: windows by the clocks of a place are of whole hours or days. Leave the zone out: all zones have the same minutes, but for a few quarters of an hour.`,
    );
  }
  new ZoneGrid(sizeMs, zone, offsetMs);
  return new WindowSpec({ kind: 'tumbling', sizeMs, offsetMs, zone });
}

/**
 * Windows of `size`, one every `slide`: a row belongs to size / slide of them. The size need not be a
 * multiple of the slide. One of them starts at 1970 plus `offset`, which is shorter than the slide and may be
 * negative.
 *
 * @throws MillraceError ERR_MILLRACE_OPTION when either is no duration of at least 1 ms, the slide is longer
 * than the size, or the slide is so short that a window would have more than {@link PANES_PER_WINDOW_MAX}
 * panes
 */
export function sliding(size: Duration, slide: Duration, options: { readonly offset?: SignedDuration } = {}): WindowSpec<WindowShape, false, false> {
  refuseZone('sliding()', options);
  checkOptionNames('sliding()', options, { offset: true });
  const sizeMs = durationMs(size, 'The size of sliding()', 1);
  const slideMs = durationMs(slide, 'The slide of sliding()', 1);
  if (slideMs > sizeMs) {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `sliding() has a slide of ${slideMs} ms, which is longer than its size of ${sizeMs} ms: the rows between two windows would be in none. Make the slide at most the size.`,
    );
  }
  if (new PaneGrid(sizeMs, slideMs).panesPerWindow > PANES_PER_WINDOW_MAX) {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `sliding() has a slide of ${slideMs} ms in a size of ${sizeMs} ms: a row would be in ${Math.floor(sizeMs / slideMs)} windows. Make the slide at least ${Math.ceil(sizeMs / PANES_PER_WINDOW_MAX) * 2} ms.`,
    );
  }
  return new WindowSpec({ kind: 'sliding', sizeMs, slideMs, offsetMs: offsetOf(options.offset, 'sliding()', slideMs, 'its slide') });
}

/**
 * Windows that grow. Each stretch of `size` has one window for every `step`; all of them begin with the
 * stretch, and each is one step longer than the one before. For the day so far, every hour:
 * `cumulative('1d', '1h')`.
 *
 * @throws MillraceError ERR_MILLRACE_OPTION when either is no duration of at least 1 ms, the size is no
 * multiple of the step, or the step is so short that there would be more than {@link PANES_PER_WINDOW_MAX} of
 * them
 */
export function cumulative(size: Duration, step: Duration, options: Readonly<Record<string, never>> = {}): WindowSpec<WindowShape, false, false> {
  refuseZone('cumulative()', options);
  checkOptionNames('cumulative()', options, {});
  const sizeMs = durationMs(size, 'The size of cumulative()', 1);
  const stepMs = durationMs(step, 'The step of cumulative()', 1);
  if (sizeMs % stepMs !== 0 || sizeMs / stepMs > PANES_PER_WINDOW_MAX) {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `cumulative() has steps of ${stepMs} ms in a size of ${sizeMs} ms. The size must be a multiple of the step, at most ${PANES_PER_WINDOW_MAX} times as long.`,
    );
  }
  return new WindowSpec({ kind: 'cumulative', sizeMs, stepMs });
}

/**
 * Windows of `rows` rows of a key, in order of arrival: consecutive or, with `slide`, a new one every so many
 * rows. A window comes out when it is full. Rows left over at the end of the input are in no window.
 *
 * @throws MillraceError ERR_MILLRACE_OPTION when a number is no whole number of at least 1, or the slide is
 * greater than the window
 */
export function countWindow(rows: number, options: { readonly slide?: number } = {}): WindowSpec<WindowShape, false, false> {
  checkOptionNames('countWindow()', options, { slide: true });
  const slideRows = options.slide ?? rows;
  wholeRows(rows, 'countWindow() has a window');
  wholeRows(slideRows, 'countWindow() has a slide');
  if (slideRows > rows) {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `countWindow() has a slide of ${slideRows} rows, which is more than its window of ${rows}: the rows between two windows would be in none. Make the slide at most the window.`,
    );
  }
  return new WindowSpec({ kind: 'count', rows, slideRows });
}

/**
 * One window for all rows of a key. It comes out after `count` rows, or when `time` has passed since the
 * first row after it last came out, whichever is first, and at the end of the input: a trigger by count or
 * time. With `purge` it starts empty each time.
 *
 * @example globalWindow({ count: 500, time: '2s', purge: true }) // batches of at most 500 rows, none older
 * than 2 s
 * @throws MillraceError ERR_MILLRACE_OPTION when the count is no whole number of at least 1, or the time no
 * duration of at least 1 ms
 */
export function globalWindow(
  options: { readonly count?: number; readonly time?: Duration; readonly purge?: boolean } = {},
): WindowSpec<WindowShape, false, false> {
  checkOptionNames('globalWindow()', options, { count: true, time: true, purge: true });
  const { count, time, purge } = options;
  if (count !== undefined) wholeRows(count, 'globalWindow() has a count');
  const timeMs = time === undefined ? undefined : durationMs(time, 'The time of globalWindow()', 1);
  return new WindowSpec({ kind: 'global', countRows: count, timeMs, purges: purge === true });
}

function wholeRows(rows: unknown, what: string): void {
  if (Number.isSafeInteger(rows) && (rows as number) >= 1) return;
  throw new MillraceError('ERR_MILLRACE_OPTION', `${what} of ${shown(rows)} rows. Give a whole number of at least 1.`);
}

/**
 * Windows of activity: rows of a key that follow each other by at most `gap` are in one window, which ends
 * `gap` after the last of them. A late row may join two windows. For what is emitted when see
 * session/session-plan.ts.
 *
 * @throws MillraceError ERR_MILLRACE_OPTION when the gap is no duration of at least 1 ms
 */
export function session(gap: Duration, options?: Readonly<Record<string, never>>): WindowSpec<WindowShape, false, false>;
/**
 * The same with a gap of its own for each row, in ms: a row lasts from its time until that much later, and rows that
 * overlap or touch are in one window, which ends with the last of them. A row is late when its own end is.
 *
 * @param gap a whole number of at least 1; anything else is a failure of the row
 * @example .window(session((r) => (r.kind === 'video' ? 600_000 : 30_000)))
 * @example .window(session((r: Click) => r.ms * 10).lateness('1m')) // with more behind it the compiler needs the type of the row
 */
export function session<R>(gap: (row: R) => number, options?: Readonly<Record<string, never>>): WindowSpec<WindowShape, false, false, R>;
export function session(gap: Duration | ((row: never) => number), options: Readonly<Record<string, never>> = {}): WindowSpec<WindowShape, false, false, never> {
  refuseZone('session()', options);
  checkOptionNames('session()', options, {});
  if (typeof gap === 'function') return new WindowSpec({ kind: 'session', gapMs: 0, gapOf: gap });
  return new WindowSpec({ kind: 'session', gapMs: durationMs(gap, 'The gap of session()', 1) });
}

/**
 * @throws MillraceError ERR_MILLRACE_OPTION when the offset is not shorter than what it shifts: a mistake, as
 * in other engines
 */
function offsetOf(offset: SignedDuration | undefined, what: string, lessThanMs: number, whole: string): number {
  const offsetMs = signedMs(offset ?? 0, `The offset of ${what}`);
  if (Math.abs(offsetMs) < lessThanMs) return offsetMs;
  throw new MillraceError(
    'ERR_MILLRACE_OPTION',
    `${what} has an offset of ${offsetMs} ms, which is not shorter than ${whole} of ${lessThanMs} ms. The same windows have the offset ${offsetMs % lessThanMs} ms.`,
  );
}

/** A duration that may be negative, in ms. `what` names it in the message. */
export function signedMs(value: SignedDuration, what: string): number {
  if (typeof value === 'number' && value < 0) return -durationMs(-value, what);
  if (typeof value === 'string' && value.startsWith('-')) return -durationMs(value.slice(1) as Duration, what);
  return durationMs(value as Duration, what);
}

function refuseZone(what: string, options: object): void {
  if (!Object.hasOwn(options ?? {}, 'zone')) return;
  throw new MillraceError(
    'ERR_MILLRACE_OPTION',
    `${what} goes by no time zone. Windows by the clocks of a place are tumbling('1d', { zone: 'Europe/Berlin' }).`,
  );
}

/**
 * The panes of a window.
 *
 * @throws MillraceError ERR_MILLRACE_PIPELINE when it has none: a session
 */
export function paneGridOf(window: WindowSpec): PaneGrid {
  const { shape } = window;
  if (isRowWindow(shape))
    throw new MillraceError('ERR_MILLRACE_PIPELINE', `${window} is a window of rows and has no panes in time. Take a window of time here.`);
  if (shape.kind === 'cumulative') return new CumulativeGrid(shape.sizeMs, shape.stepMs);
  if (shape.kind === 'session') {
    throw new MillraceError('ERR_MILLRACE_PIPELINE', `${window} has no panes in time. Use tumbling() or sliding() here.`);
  }
  if (shape.kind === 'sliding') return new PaneGrid(shape.sizeMs, shape.slideMs, shape.offsetMs);
  return shape.zone === undefined ? new PaneGrid(shape.sizeMs, shape.sizeMs, shape.offsetMs) : new ZoneGrid(shape.sizeMs, shape.zone, shape.offsetMs);
}

/**
 * The panes of a window and its lateness: which windows are open, and which rows late.
 *
 * @throws MillraceError ERR_MILLRACE_PIPELINE as paneGridOf
 */
export function openWindowsOf(window: WindowSpec): OpenWindows {
  return new OpenWindows(paneGridOf(window), window.latenessMs);
}
