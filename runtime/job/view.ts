/**
 * Views: a running aggregate, or rows that are kept for the view (operators/view), read in place from the shared
 * memory by the thread that started the job. The workers do not take part. The owner of a shard only notes in the shard's cell
 * (core/groups/live-cell.ts) when it changes the shard's table, and which epoch the table is of. Reading is
 * synchronous. While a shard is being changed, the reader looks again. That holds its thread for as long as
 * the owner takes to add one epoch, and never longer than WAIT_MS_MAX.
 *
 * An answer about one key comes from one shard. An answer about all keys is taken only if all shards were of
 * one epoch from its beginning to its end. With `mixed`, each shard is of its own epoch.
 */

import { type AnyRow, checkOptionNames, LiveCell, MillraceError, SHARD_COUNT, type SharedMemory, type SlabAllocator, shown } from '../../core/index.ts';
import { LiveRanks, type LiveView, openView } from '../../operators/index.ts';
import type { Plan, ViewPlan } from '../plan/index.ts';
import { type Control, spinUntil } from '../shared/index.ts';

const WAIT_MS_MAX = 1_000;

export interface ViewTopOptions<R> {
  /** The aggregate, or the column, to compare by: numbers or times. May be left out where there is only one. */
  readonly by?: keyof R & string;
  /** `desc` (default): the greatest first. NaN and null come last in either order. */
  readonly order?: 'desc' | 'asc';
  /**
   * True: each shard as of its own epoch; `epoch` is the oldest of these. For a state that changes faster
   * than it can be read at once. Default false.
   */
  readonly mixed?: boolean;
}

/** What a view needs of the job. */
export interface ViewHost {
  readonly slabs: SlabAllocator;
  readonly control: Control;
  /** No worker changes anything any more, so there is nobody to wait for. */
  isOver(): boolean;
}

/**
 * The rows that the pipeline has named, while the job runs and after it, as a sink gets them: of a running
 * aggregate the key columns, then the aggregates.
 *
 * @example
 * const pages = job.view<{ page: string; clicks: number }>('pages');
 * pages.get('/a')?.clicks; // as of epoch pages.epoch
 * pages.top(10, { by: 'clicks' });
 */
export class View<R = AnyRow> {
  readonly name: string;
  readonly #host: ViewHost;
  readonly #rows: LiveView;
  readonly #cells: readonly LiveCell[];
  #epoch = -1;

  constructor(host: ViewHost, plan: ViewPlan, index: number) {
    this.name = plan.name;
    this.#host = host;
    this.#rows = openView(host.slabs, plan.operator, plan.rows);
    const memory: SharedMemory = host.slabs.memory;
    this.#cells = Array.from({ length: SHARD_COUNT }, (_, shard) => new LiveCell(memory, host.control.live(index, shard)));
  }

  /**
   * The epoch that the last answer was as of: it counts all rows up to that epoch, and none after. -1: there
   * was no epoch yet.
   */
  get epoch(): number {
    return this.#epoch;
  }

  /**
   * The row of a key, or undefined where there is none (yet), as of {@link epoch}. Cost: some microseconds.
   *
   * @param key the value of the key column; for several columns an object by name, or an array in their order
   * @throws MillraceError ERR_MILLRACE_SCHEMA when it does not fit the key columns, ERR_MILLRACE_VIEW when
   *   the state cannot be read
   */
  get(key: unknown): R | undefined {
    const cell = this.#cells[this.#rows.setKey(key)] as LiveCell;
    const answer = this.#answered(() => {
      const version = this.#versionOf(cell);
      if (version < 0) return undefined;
      const { epoch } = cell;
      const row = this.#rows.tryRow(cell, version);
      return row === undefined ? undefined : { epoch, row };
    });
    this.#epoch = answer.epoch;
    return answer.row === null ? undefined : (answer.row as R);
  }

  /**
   * The `n` rows with the greatest values of an aggregate, in order; rows of equal values in no particular
   * order. All are as of {@link epoch}. Cost: a look at every group, some tens of nanoseconds each.
   *
   * @throws MillraceError ERR_MILLRACE_OPTION when there is no such aggregate, ERR_MILLRACE_VIEW when the
   *   state cannot be read
   */
  top(n: number, options: ViewTopOptions<R> = {}): R[] {
    checkOptionNames('top() of a view', options, { by: true, order: true, mixed: true });
    const { by, order = 'desc', mixed = false } = options;
    if (!Number.isSafeInteger(n) || n < 1)
      throw new MillraceError('ERR_MILLRACE_OPTION', `top() is asked for ${shown(n)} rows. Give a whole number from 1 on.`);
    if (order !== 'desc' && order !== 'asc') throw new MillraceError('ERR_MILLRACE_OPTION', `top() got the order ${shown(order)}. Give 'desc' or 'asc'.`);
    const ranking = this.#rows.ranking(by);
    return this.#all(mixed, () => {
      const ranks = new LiveRanks(n, order);
      const found = this.#eachShard(mixed, (cell, version) => {
        const more = this.#rows.tryRanks(cell, version, ranking, ranks);
        if (more !== undefined) ranks.takeAll(more);
        return more;
      });
      if (found === undefined) return undefined;
      const rows: AnyRow[] = [];
      for (const candidate of ranks.first()) {
        const row = this.#rows.tryCandidate(candidate);
        if (row === undefined) return undefined;
        rows.push(row);
      }
      return { epoch: found.epoch, answer: rows as R[] };
    });
  }

  /**
   * All rows, in no particular order, as of {@link epoch}. Cost: making each row; all of them are in the heap
   * at once.
   */
  rows(options: { readonly mixed?: boolean } = {}): R[] {
    checkOptionNames('rows() of a view', options, { mixed: true });
    const { mixed = false } = options;
    return this.#all(mixed, () => {
      const found = this.#eachShard(mixed, (cell, version) => this.#rows.tryRows(cell, version));
      return found === undefined ? undefined : { epoch: found.epoch, answer: found.parts.flat() as R[] };
    });
  }

  /** How many keys there are, as of {@link epoch}. */
  get size(): number {
    return this.#all(false, () => {
      const found = this.#eachShard(false, (cell, version) => this.#rows.trySize(cell, version));
      return found === undefined ? undefined : { epoch: found.epoch, answer: found.parts.reduce((sum, size) => sum + size, 0) };
    });
  }

  #all<T>(mixed: boolean, look: () => { readonly epoch: number; readonly answer: T } | undefined): T {
    const found = this.#answered(() => (mixed || this.#isOfOneEpoch() ? look() : undefined));
    this.#epoch = found.epoch;
    return found.answer;
  }

  /**
   * Reads every shard; undefined where one of them changed meanwhile, or (unless mixed) is of another epoch.
   */
  #eachShard<T>(mixed: boolean, read: (cell: LiveCell, version: number) => T | undefined): { readonly epoch: number; readonly parts: T[] } | undefined {
    const parts: T[] = [];
    let oldest = Number.POSITIVE_INFINITY;
    for (const cell of this.#cells) {
      const one = (): { readonly epoch: number; readonly part: T } | undefined => {
        const version = this.#versionOf(cell);
        if (version < 0) return undefined;
        const { epoch } = cell;
        const part = read(cell, version);
        return part === undefined ? undefined : { epoch, part };
      };
      const found = mixed ? this.#answered(one) : one();
      if (found === undefined || (!mixed && parts.length > 0 && found.epoch !== oldest)) return undefined;
      oldest = Math.min(oldest, found.epoch);
      parts.push(found.part);
    }
    return { epoch: oldest, parts };
  }

  /** A hint only, as cells may change right after: whether reading all shards is worth it. */
  #isOfOneEpoch(): boolean {
    const { epoch } = this.#cells[0] as LiveCell;
    return this.#cells.every((cell) => this.#versionOf(cell) >= 0 && cell.epoch === epoch);
  }

  #versionOf(cell: LiveCell): number {
    const version = cell.tryRead();
    if (version < 0 && (cell.isLost || this.#host.isOver())) {
      throw new MillraceError('ERR_MILLRACE_VIEW', `The view ${shown(this.name)} cannot be read: the job ended while it was changing this state.`);
    }
    return version;
  }

  #answered<T>(look: () => T | undefined): T {
    try {
      const answer = look() ?? (this.#host.isOver() ? undefined : spinUntil(look, WAIT_MS_MAX));
      if (answer !== undefined) return answer;
    } finally {
      this.#rows.trim();
    }
    throw new MillraceError(
      'ERR_MILLRACE_VIEW',
      this.#host.isOver()
        ? `The view ${shown(this.name)} cannot be read as of one epoch: the job ended in the middle of one. Read single keys, or give { mixed: true }.`
        : `The view ${shown(this.name)} was changing for all of ${WAIT_MS_MAX} ms. Take a longer trigger, read single keys, or give { mixed: true }.`,
    );
  }
}

/** The views of one job, each made at its first use. */
export class Views {
  readonly #host: ViewHost;
  readonly #plan: Plan;
  readonly #views = new Map<string, View<unknown>>();

  constructor(host: ViewHost, plan: Plan) {
    this.#host = host;
    this.#plan = plan;
  }

  /** @throws MillraceError ERR_MILLRACE_OPTION when there is no view of this name */
  get<R>(name: string): View<R> {
    const known = this.#views.get(name);
    if (known !== undefined) return known as View<R>;
    const index = this.#plan.views.findIndex((view) => view.name === name);
    if (index < 0) {
      const names = this.#plan.views.map((view) => shown(view.name)).join(', ');
      throw new MillraceError(
        'ERR_MILLRACE_OPTION',
        `view() names ${shown(name)}; ${names === '' ? 'the pipeline has no views. Name a table in it: .keyBy(...).count().as(name)' : `there are ${names}`}.`,
      );
    }
    const view = new View<R>(this.#host, this.#plan.views[index] as ViewPlan, index);
    this.#views.set(name, view as View<unknown>);
    return view;
  }
}
