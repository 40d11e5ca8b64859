/**
 * Options of a test driver, checked among themselves and against the snapshot that it resumes from; and the
 * format of that snapshot. See test-driver.ts for what a driver does with them.
 */

import { checkOptionNames, MillraceError, shown } from '../../core/index.ts';
import { checkState, type EngineState, type StateHead } from '../engine/index.ts';
import { failedRowsOf } from '../job/index.ts';
import type { CounterName, FailedRowsPolicy } from '../shared/index.ts';

const SHARDS_MAX = 8;
const PARTITIONS_DEFAULT = 4;
const MEMORY_BYTES_A_SHARD = 64 << 20;

export interface TestDriverOptions {
  /**
   * How many engines the 64 hash ranges are spread over, as over a job's workers: 1 (default) to 8. They run
   * one after the other. The number makes no difference to results, which a test may show.
   */
  readonly shards?: number;
  /**
   * Spreads rows that are sent without a partition over the partitions; without a seed they go to partition
   * 0. It also draws which engine scans what. The same seed and the same calls give the same run.
   */
  readonly seed?: number;
  /** Partitions of each source (default 4). */
  readonly partitions?: number;
  /** The clock at the start, ms since 1970. Default 0, or what the snapshot has. */
  readonly now?: number;
  /** Resumes from what `snapshot()` of a driver of the same pipeline returned, here or in another process. */
  readonly from?: DriverSnapshot;
  /** Shared memory, bytes (default 64 MiB per engine). */
  readonly memoryBytes?: number;
  /**
   * Most bytes of state at hand: shards beyond it are put away as bytes, and read back when rows or times need
   * them, as in a job with `memory: { atLimit: 'spill' }`. 0 puts every shard away after its turn. Results are
   * the same, which a test may show. Default: no limit.
   */
  readonly stateBytesMax?: number;
  /** What happens to rows on which a function fails. Default 'fail': the call throws. */
  readonly failedRows?: FailedRowsPolicy;
  /** False: run user functions without generated code. */
  readonly codeGeneration?: boolean;
}

/**
 * The whole state of a driver between two epochs: a plain value for structuredClone, v8.serialize and a file.
 * Its content is not part of the interface, except `format`, which says which version can read it, and
 * `pipeline`, which says which pipeline it is of.
 */
export interface DriverSnapshot extends StateHead {
  /** The clock. */
  readonly clockMs: number;
  readonly partitions: number;
  readonly seed: number | undefined;
  /** Rows that were sent without a partition, and chunks: how many draws the seed has given. */
  readonly rowsDrawn: number;
  readonly chunks: number;
  /** By partition of each source, one source after the other. */
  readonly inputs: readonly InputState[];
  readonly state: EngineState;
}

/** Where one partition of a source is. */
export interface InputState {
  /** The offset of the next row. */
  readonly position: number;
  readonly sequence: number;
  /** The clock when the last rows came. */
  readonly lastRowsAtMs: number;
  readonly counts: readonly (readonly [name: CounterName, count: number])[];
}

/** The options of a driver, with defaults filled in. */
export interface ResolvedOptions {
  readonly from: DriverSnapshot | undefined;
  readonly shards: number;
  readonly partitions: number;
  readonly seed: number | undefined;
  readonly now: number;
  readonly memoryBytes: number;
  readonly stateBytesMax: number | undefined;
  readonly failedRows: FailedRowsPolicy;
}

/**
 * Checks options, among themselves and against the snapshot to resume from.
 *
 * @throws MillraceError ERR_MILLRACE_OPTION, ERR_MILLRACE_CHECKPOINT when `from` is of another pipeline or
 *   version
 */
export function resolved(options: TestDriverOptions, head: StateHead): ResolvedOptions {
  checkOptionNames('testDriver()', options, {
    shards: true,
    seed: true,
    partitions: true,
    now: true,
    from: true,
    memoryBytes: true,
    stateBytesMax: true,
    failedRows: true,
    codeGeneration: true,
  });
  const { shards = 1, seed } = options;
  if (!(Number.isInteger(shards) && shards >= 1 && shards <= SHARDS_MAX)) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `testDriver() got shards: ${shown(shards)}; give a whole number of 1 to ${SHARDS_MAX}.`);
  }
  if (seed !== undefined && !Number.isFinite(seed)) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `testDriver() got the seed ${shown(seed)}; give a number.`);
  }
  if (options.from !== undefined) checkState(options.from, head);
  // Operators change what they take over, and a snapshot may be used again.
  const from = structuredClone(options.from);
  const partitions = options.partitions ?? from?.partitions ?? PARTITIONS_DEFAULT;
  if (!(Number.isInteger(partitions) && partitions >= 1)) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `testDriver() got partitions: ${shown(partitions)}; give a whole number of at least 1.`);
  }
  if (from !== undefined && partitions !== from.partitions) {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `testDriver() got partitions: ${partitions}, and the snapshot is of a driver with ${from.partitions}. Positions and watermarks go by partition: leave the option out.`,
    );
  }
  const { stateBytesMax } = options;
  if (stateBytesMax !== undefined && !(stateBytesMax >= 0)) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `testDriver() got stateBytesMax: ${shown(stateBytesMax)}; give a number of bytes, from 0 on.`);
  }
  const failedRows = failedRowsOf(options.failedRows ?? 'fail');
  const now = options.now ?? from?.clockMs ?? 0;
  if (!Number.isSafeInteger(now)) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `testDriver() got now: ${shown(now)}; give whole milliseconds since 1970.`);
  }
  if (from !== undefined && now < from.clockMs) {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `testDriver() got now: ${now}, before the clock of the snapshot, ${from.clockMs}. Time does not go back: leave it out.`,
    );
  }
  const memoryBytes = options.memoryBytes ?? MEMORY_BYTES_A_SHARD * shards;
  return { from, shards, partitions, seed: seed ?? from?.seed, now, memoryBytes, stateBytesMax, failedRows };
}
