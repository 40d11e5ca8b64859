/**
 * What a test driver is told: its options, checked among themselves and against the snapshot that it goes on from; and that
 * snapshot, which says the same of the driver before. What a driver does with it stands in test-driver.ts.
 */

import { checkOptionNames, MillraceError, shown } from '../../core/index.ts';
import { checkState, type EngineState, type StateHead } from '../engine/index.ts';
import type { CounterName } from '../shared/index.ts';

const SHARDS_MAX = 8;
const PARTITIONS_DEFAULT = 4;
const MEMORY_BYTES_A_SHARD = 64 << 20;

export interface TestDriverOptions {
  /**
   * How many engines the 64 hash ranges are spread over, as over a job's workers: 1 (default) to 8. They run one after the other. It
   * makes no difference to results; a test may show that.
   */
  readonly shards?: number;
  /**
   * Spreads rows that are sent without a partition over the partitions; without it they go to partition 0. Which engine scans what is
   * drawn from it, too. The same seed and the same calls give the same run.
   */
  readonly seed?: number;
  /** Partitions that each source has (default 4). */
  readonly partitions?: number;
  /** The clock at the start, ms since 1970 (default 0; of a restored driver: what it was). */
  readonly now?: number;
  /** Goes on from what `snapshot()` of a driver of the same pipeline gave, here or in another process. */
  readonly from?: DriverSnapshot;
  /** Shared memory, bytes (default 64 MiB a shard). */
  readonly memoryBytes?: number;
  /** False: run user functions without generated code. */
  readonly codeGeneration?: boolean;
}

/**
 * The whole state of a driver between two epochs: a plain value for structuredClone, v8.serialize and a file. What is in it is not part of
 * the interface, but that `format` says by which version it can be read, and `pipeline` of which pipeline it is.
 */
export interface DriverSnapshot extends StateHead {
  /** The clock. */
  readonly clockMs: number;
  readonly partitions: number;
  readonly seed: number | undefined;
  /** Rows that were sent without a partition, and chunks: how far the draws from the seed are. */
  readonly rowsDrawn: number;
  readonly chunks: number;
  /** For each partition of each source, one source after the other. */
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

/** What holds for a driver, all of it given. */
export interface ResolvedOptions {
  readonly from: DriverSnapshot | undefined;
  readonly shards: number;
  readonly partitions: number;
  readonly seed: number | undefined;
  readonly now: number;
  readonly memoryBytes: number;
}

/**
 * Checks options, among themselves and against the snapshot to go on from.
 *
 * @throws MillraceError ERR_MILLRACE_OPTION, ERR_MILLRACE_CHECKPOINT when `from` is of another pipeline or version
 */
export function resolved(options: TestDriverOptions, head: StateHead): ResolvedOptions {
  checkOptionNames('testDriver()', options, { shards: true, seed: true, partitions: true, now: true, from: true, memoryBytes: true, codeGeneration: true });
  const { shards = 1, seed } = options;
  if (!(Number.isInteger(shards) && shards >= 1 && shards <= SHARDS_MAX)) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `testDriver() got shards: ${shown(shards)}; give a whole number of 1 to ${SHARDS_MAX}.`);
  }
  if (seed !== undefined && !Number.isFinite(seed)) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `testDriver() got the seed ${shown(seed)}; give a number.`);
  }
  if (options.from !== undefined) checkState(options.from, head);
  // A snapshot may be used again, and what operators take over they change.
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
  return { from, shards, partitions, seed: seed ?? from?.seed, now, memoryBytes: options.memoryBytes ?? MEMORY_BYTES_A_SHARD * shards };
}
