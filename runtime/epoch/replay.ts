/**
 * Which epochs of a journal a restart repeats. The journal knows where epochs were cut. The sources know
 * where reading goes on, and the positions come with the epoch that had been written by then
 * (commit-metadata.ts). What lies between is cut again as it was. If the two do not fit, nothing is guessed:
 * the start is refused with an error that says what to do.
 */

import { MillraceError, shown } from '../../core/index.ts';
import type { CommittedPosition } from '../../io/index.ts';
import { PARTITION_ACTIVE } from '../shared/index.ts';
import type { JournalHead, JournalRecord, Positions } from './journal.ts';

/** Where a start of the job begins. */
export interface ReplayStart {
  readonly pipeline: string;
  /** Names of the sources, and where each of their partitions begins. */
  readonly sources: readonly string[];
  readonly positions: readonly (readonly CommittedPosition[])[];
  /** The epoch that had been written when those positions were committed; -1 when nothing ever was. */
  readonly writtenEpoch: number;
  /** The epoch whose state the start has; undefined: it has none. */
  readonly checkpoint?: number | undefined;
  /** The clock. */
  readonly nowMs: number;
  /** The journal is of other sources, which is allowed: nothing of it is repeated. */
  readonly isOfOthers?: boolean | undefined;
}

export interface Replay {
  /** Records to repeat, in order. */
  readonly records: readonly JournalRecord[];
  /** The number of the first epoch, repeated or new, and the clock at the end of the one before. */
  readonly firstEpoch: number;
  readonly beforeMs: number;
  /** For the new file of the journal: its head, and the records that are kept. */
  readonly head: JournalHead;
  readonly kept: readonly JournalRecord[];
}

/**
 * @param path of the journal, for messages
 * @param head undefined: there is no journal yet
 * @throws MillraceError ERR_MILLRACE_CHECKPOINT when the journal is of another pipeline, or begins elsewhere
 */
export function planReplay(path: string, head: JournalHead | undefined, records: readonly JournalRecord[], start: ReplayStart): Replay {
  const starts = start.positions.map(offsetsOf);
  const fresh = (): Replay => {
    const firstEpoch = Math.max(start.writtenEpoch, records.at(-1)?.epoch ?? head?.base.epoch ?? -1) + 1;
    const base = { epoch: firstEpoch - 1, nowMs: start.nowMs, positions: starts };
    return {
      records: [],
      firstEpoch,
      beforeMs: start.nowMs,
      head: { pipeline: start.pipeline, sources: start.sources, base },
      kept: [],
    };
  };
  if (head === undefined || start.isOfOthers === true) return fresh();
  mustBeOurs(path, head, start);
  const base = { ...head.base, positions: widened(path, head, head.base.positions, starts) };
  const kept = records.map((record) => ({
    ...record,
    positions: widened(path, head, record.positions, starts),
    states: record.states.map((states, source) => padded(states, (starts[source] as number[]).length, () => PARTITION_ACTIVE)),
  }));
  const last = kept.at(-1)?.positions ?? base.positions;
  mustFit(path, start, starts, [base.positions, ...kept.map(({ positions }) => positions)]);
  const lastEpoch = kept.at(-1)?.epoch ?? base.epoch;
  // What was committed names the last epoch that was written. The journal must reach that far: epochs behind
  // its end would be cut anew, though their output was sent.
  if (start.writtenEpoch > lastEpoch || (reaches(starts, last) && !reaches(last, starts))) {
    throw refused(
      path,
      `ends with epoch ${lastEpoch}, but what was committed with the positions is of epoch ${start.writtenEpoch}: the file is an older one, or another run went on without it. Restore it, or delete it: what is read again is then cut and stamped anew`,
    );
  }
  // With a checkpoint its epoch says it: one behind it may have had no rows.
  const from = kept.findIndex(({ epoch, positions }) =>
    start.checkpoint === undefined ? epoch > start.writtenEpoch || !reaches(starts, positions) : epoch > start.checkpoint,
  );
  const first = from < 0 ? kept.length : from;
  return {
    records: kept.slice(first),
    firstEpoch: kept[first]?.epoch ?? lastEpoch + 1,
    beforeMs: kept[first - 1]?.nowMs ?? base.nowMs,
    head: { ...head, base },
    kept,
  };
}

function mustBeOurs(path: string, head: JournalHead, start: ReplayStart): void {
  if (head.pipeline !== start.pipeline) {
    throw refused(path, `was written by the pipeline ${shown(head.pipeline)}, not by ${shown(start.pipeline)}. Give each pipeline a directory of its own`);
  }
  if (head.sources.join('\n') !== start.sources.join('\n')) {
    throw refused(
      path,
      `was written when the pipeline read ${head.sources.join(', ')}; now it reads ${start.sources.join(', ')}. Give it another directory, or delete the file: what is read again is then cut and stamped anew`,
    );
  }
}

/**
 * Whether every start is a cut that the journal knows. All may also lie behind all cuts, which is refused for
 * another reason.
 */
function mustFit(path: string, start: ReplayStart, starts: Positions, cuts: readonly Positions[]): void {
  const last = cuts.at(-1) as Positions;
  if (start.positions.flat().some(({ metadata }) => metadata !== '') && reaches(starts, last)) return;
  starts.forEach((offsets, source) => {
    offsets.forEach((offset, partition) => {
      const known = cuts.map((positions) => positions[source]?.[partition] as number);
      const isNew = start.positions[source]?.find((position) => position.partition === partition)?.metadata === '';
      if (isNew ? offset === known[0] : known.includes(offset)) return;
      throw refused(
        path,
        `begins at ${known[0]} and ends at ${known.at(-1)} in partition ${partition} of ${start.sources[source]}, and ${offset}, where reading begins, is none of its cuts. The positions were changed, or lost, or another run went on without the journal. Restore them, or delete the file: what is read again is then cut and stamped anew`,
      );
    });
  });
}

/** Positions over the partitions that there are now. New ones had no rows then. */
function widened(path: string, head: JournalHead, positions: Positions, starts: Positions): number[][] {
  return starts.map((offsets, source) => {
    const known = positions[source] ?? [];
    if (known.length > offsets.length) {
      throw refused(
        path,
        `was written when ${head.sources[source]} had ${known.length} partitions; now it has ${offsets.length}. If it was made anew, delete the file and the positions of the group`,
      );
    }
    return padded(known, offsets.length, (partition) => offsets[partition] as number);
  });
}

function padded(values: readonly number[], length: number, fill: (at: number) => number): number[] {
  return Array.from({ length }, (_, at) => values[at] ?? fill(at));
}

/** Whether `positions` are at `others` or behind them, all of them. */
function reaches(positions: Positions, others: Positions): boolean {
  return others.every((offsets, source) => offsets.every((offset, partition) => (positions[source]?.[partition] as number) >= offset));
}

function offsetsOf(positions: readonly CommittedPosition[]): number[] {
  const offsets: number[] = [];
  for (const { partition, offset } of positions) offsets[partition] = offset;
  return offsets;
}

function refused(path: string, what: string): MillraceError {
  return new MillraceError('ERR_MILLRACE_CHECKPOINT', `The journal ${path} ${what}.`);
}
