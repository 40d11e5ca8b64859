/**
 * Checkpoints: what a job does to make one, in the order that makes it exact, and what a start takes from the
 * newest. The coordinator says when, and of which epoch.
 *
 *   prepare sinks | sync the state log, the decisions, the manifest | commit the transaction | commit sinks
 *
 * Sinks are asked only where the job is exactly-once. The manifest decides, or the transaction where a sink
 * has one. A crash before that leaves the job at the checkpoint before; one after it, at this one, and what is
 * still missing is done at the start.
 */

import { MillraceError, shown, type WatermarkState } from '../../core/index.ts';
import type { CommittedPosition, Offset, TransactionDomain } from '../../io/index.ts';
import { type CheckpointDir, type CheckpointId, type Manifest, packageVersion, parseManifestName } from '../checkpoint/index.ts';
import { checkpointNamed, type DecisionStore, type JournalRecord } from '../epoch/index.ts';
import { headOf, identityDifference, type Plan } from '../plan/index.ts';
import { segmentRanges } from '../state-log/index.ts';
import type { StoredTask } from '../workers/index.ts';
import { CheckpointStore, type StoreParts } from './checkpoint-store.ts';
import type { CheckpointCut, Resume } from './coordinator.ts';
import type { Sinks } from './sinks.ts';
import type { Sources } from './sources.ts';

/** The newest, and the one before it. */
const KEPT = 2;

export type Guarantee = 'at-least-once' | 'exactly-once';

export interface CheckpointsParts {
  readonly plan: Plan;
  readonly guarantee: Guarantee;
  readonly store: Omit<StoreParts, 'pipeline' | 'domain'>;
}

export class Checkpoints {
  readonly store: CheckpointStore;
  readonly dir: CheckpointDir;
  readonly guarantee: Guarantee;
  /** What the job resumes from; undefined: it begins. */
  readonly manifest: Manifest | undefined;
  /** The last epoch whose output is final. */
  readonly written: number;
  readonly #plan: Plan;
  /** By source: how many partitions it has. */
  #counts: readonly number[] = [];
  /** Watermarks of the manifest, by the partitions that there are now. */
  #watermarks: readonly WatermarkState[] = [];

  private constructor({ plan, guarantee }: CheckpointsParts, store: CheckpointStore, from: Manifest | undefined, written: number) {
    this.#plan = plan;
    this.guarantee = guarantee;
    this.store = store;
    this.dir = store.dir;
    this.manifest = from;
    this.written = written;
  }

  /**
   * Locks the directory, fences whoever was at work before, and finds out what to resume from.
   *
   * @throws MillraceError ERR_MILLRACE_PIPELINE where the job cannot be exactly-once; ERR_MILLRACE_CHECKPOINT
   *   when there is state that this pipeline cannot resume from
   */
  static async open(parts: CheckpointsParts): Promise<Checkpoints> {
    const { plan, guarantee } = parts;
    const domain = guarantee === 'exactly-once' ? transactionsOf(plan) : undefined;
    const store = await CheckpointStore.open({ ...parts.store, pipeline: plan.name, domain });
    try {
      const { manifest, written } = chosen(store.dir, plan, store.decided, store.damaged);
      if (manifest !== undefined) mustFit(store.dir.dir, manifest, plan);
      return new Checkpoints(parts, store, manifest, written);
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  /** Where each source begins: by source, by partition. */
  from(source: number): ReadonlyMap<number, Offset> | undefined {
    const positions = this.manifest?.sources[source]?.positions;
    return positions === undefined ? undefined : new Map(positions.map(({ offset }, partition) => [partition, offset]));
  }

  /**
   * The sources are open. What their positions say must go with the checkpoint.
   *
   * @returns where each partition begins
   */
  begin(sources: readonly (readonly CommittedPosition[])[], warn: (message: string) => void): CommittedPosition[][] {
    this.#counts = sources.map(({ length }) => length);
    const { manifest, written } = this;
    if (manifest === undefined) return sources.map((positions) => [...positions]);
    this.#watermarks = this.#widened(manifest);
    return sources.map((positions, source) => {
      const { name } = (this.#plan.sources[source] as Plan['sources'][number]).source;
      const stored = manifest.sources[source]?.positions ?? [];
      return positions.map((position) => {
        const named = checkpointNamed(position.metadata);
        if (named !== undefined && named > written) {
          throw refused(
            this.dir.dir,
            `ends with epoch ${written}, but the positions of ${name} were committed with epoch ${named}: it is an older copy. Restore the newest one; or reset the positions of the group, and delete the folder, to begin anew`,
          );
        }
        if (position.partition === 0 && named === undefined && position.metadata !== '') {
          warn(
            `The positions of ${name} were changed since the checkpoint in ${shown(this.dir.dir)} was made. The checkpoint counts: delete the folder to begin at these positions, with empty state.`,
          );
        }
        return { ...position, offset: stored[position.partition]?.offset ?? position.offset, metadata: 'checkpoint' };
      });
    });
  }

  /**
   * Decisions of earlier epochs. Where output is final with a checkpoint only, nobody has seen that of later
   * ones: they are decided anew.
   */
  get decisions(): DecisionStore {
    const { journal } = this.dir;
    const records = this.guarantee === 'exactly-once' ? journal.records.filter(({ epoch }) => epoch <= this.written) : journal.records;
    return {
      path: journal.path,
      head: journal.head,
      records,
      begin: (head, kept) => journal.begin(head, kept),
      append: (record) => this.record(record),
      trim: (epoch) => journal.trim(epoch),
      forgets: (source) => journal.forgets(source),
    };
  }

  get resume(): Resume | undefined {
    const { manifest } = this;
    if (manifest === undefined) return undefined;
    return { written: this.written, watermarks: this.#watermarks, heldUntil: manifest.heldUntil };
  }

  get task(): StoredTask {
    const { dir, manifest } = this;
    const hasState = manifest !== undefined && manifest.segments.length > 0;
    return {
      dir: dir.dir,
      run: dir.run,
      resume: hasState ? { checkpoint: manifest.checkpoint, segments: manifest.segments, watermarks: this.#watermarks } : undefined,
    };
  }

  /** Keeps the decisions of an epoch; before its output is written, unless nobody sees that before the next checkpoint. */
  record(record: JournalRecord): Promise<void> {
    return this.dir.journal.append(record, { sync: this.guarantee === 'at-least-once' });
  }

  /** Makes a checkpoint. When it resolves, it is final. */
  async make(cut: CheckpointCut, sinks: Sinks, sources: Sources): Promise<void> {
    const isExact = this.guarantee === 'exactly-once';
    const { written } = cut;
    await this.store.mustBeOurs();
    if (isExact) await sinks.prepare(written);
    await this.store.write(await this.#manifestOf(cut));
    await this.store.commit(written, (domain) => sources.transactional(domain, positionsBySource(cut, this.#counts)));
    await this.store.mustBeOurs();
    if (isExact) await sinks.commit(written);
    await this.dir.prune(KEPT);
    const oldest = this.dir.candidates().at(-1);
    if (oldest !== undefined) this.dir.journal.trim(oldest.checkpoint);
  }

  async #manifestOf({ checkpoint, written, positions, state }: CheckpointCut): Promise<Manifest> {
    let first = 0;
    const sources = this.#counts.map((count, source) => {
      const offsets = positions.slice(first, (first += count));
      return { name: this.#plan.sources[source]?.source.name ?? '', positions: offsets.map((offset) => ({ offset })) };
    });
    const { watermarks, heldUntil, nowMs } = state;
    return {
      format: 1,
      millrace: packageVersion(),
      run: this.dir.run,
      from: this.manifest === undefined ? null : { run: this.manifest.run, checkpoint: this.manifest.checkpoint },
      checkpoint,
      written,
      writtenAtMs: Date.now(),
      plan: headOf(this.#plan),
      nowMs,
      sources,
      watermarks,
      heldUntil,
      segments: segmentRanges(await this.dir.segments(), this.dir.run, this.manifest?.segments ?? [], checkpoint, state.oldestBase),
      stateBytes: Math.round(state.stateBytes),
    };
  }

  /** The watermarks of a manifest, where sources have got more partitions since. */
  #widened({ watermarks, sources }: Manifest): WatermarkState[] {
    const place = new Map<number, number>();
    let then = 0;
    let now = 0;
    sources.forEach(({ name, positions }, source) => {
      const count = this.#counts[source] as number;
      positions.forEach(({ offset }, partition) => {
        if (partition < count) place.set(then + partition, now + partition);
        else if (offset > 0) {
          throw refused(
            this.dir.dir,
            `was written when ${name} had ${positions.length} partitions; now it has ${count}. If it was made anew, delete the folder and the positions of the group`,
          );
        }
      });
      then += positions.length;
      now += count;
    });
    return watermarks.map((state) => ({
      ...state,
      partitions: state.partitions.flatMap((of) => {
        const partition = place.get(of.partition);
        return partition === undefined ? [] : [{ ...of, partition }];
      }),
    }));
  }
}

/**
 * Which checkpoint to resume from.
 *
 * @param decided the last one that was committed in a transaction; 'manifest': the newest manifest was
 */
function chosen(
  dir: CheckpointDir,
  plan: Plan,
  decided: CheckpointStore['decided'],
  damaged: readonly CheckpointId[],
): { readonly manifest: Manifest | undefined; readonly written: number } {
  const all = dir.candidates();
  const candidates = all.filter(({ run, checkpoint }) => !damaged.some((one) => one.run === run && one.checkpoint === checkpoint));
  const [newest] = candidates;
  if (newest === undefined && all.length > 0) {
    throw refused(
      dir.dir,
      'has no checkpoint whose state is whole. Restore the folder from a copy; or delete it, and reset the positions of the sources, to begin anew',
    );
  }
  // Output up to the newest is final, even if its state, or the manifest itself, cannot be read.
  const lost = dir.damaged.map(({ file }) => parseManifestName(file)?.checkpoint ?? -1);
  if (decided === 'manifest') return { manifest: newest, written: Math.max(-1, all[0]?.written ?? -1, ...(newest === undefined ? [] : lost)) };
  if (decided === undefined) {
    if (newest === undefined || newest.checkpoint === 0) return { manifest: newest, written: newest?.written ?? -1 };
    throw refused(
      dir.dir,
      `has checkpoints up to ${newest.checkpoint}, and the cluster of the sinks knows of none that was committed. Offsets of groups without members expire after a week, or they were deleted. If nothing else wrote under the name of this pipeline, set guarantee 'at-least-once' for one start, or delete the folder to begin anew`,
    );
  }
  const manifest = candidates.find(({ written }) => written <= decided);
  if (manifest === undefined) {
    throw refused(
      dir.dir,
      `has no checkpoint up to ${decided}, which was committed by the pipeline ${shown(plan.name)}. Give the folder that has it. To begin anew, delete the offsets of the group millrace.${plan.name}, and the folder`,
    );
  }
  return { manifest, written: decided };
}

function mustFit(dir: string, { plan: then, sources, segments }: Manifest, plan: Plan): void {
  const now = headOf(plan);
  if (then.format !== now.format && segments.length > 0) {
    throw refused(
      dir,
      `has state of format ${then.format}; this version of millrace reads ${now.format}. Go on with the version that wrote it, or delete the folder to begin anew`,
    );
  }
  const difference = identityDifference(then.plan, now.plan);
  if (difference !== undefined || sources.length !== plan.sources.length) {
    throw refused(dir, `is of the pipeline as it was before it was changed: ${difference}. Undo the change, or delete the folder to begin with empty state`);
  }
}

/** The transactions of the sinks of a plan, if there are any; all sinks must be able to be exact. */
function transactionsOf({ sinks, sources, name }: Plan): TransactionDomain | undefined {
  for (const { source } of sources) {
    if (source.isReplayable === false) {
      throw cannot(name, `the source ${source.name} cannot be read again after a failure. Write its rows to a topic or a file first, and read that`);
    }
  }
  const domains = new Map<string, TransactionDomain>();
  for (const { sink } of sinks) {
    if (sink.delivery === 'transactional' && sink.transactions !== undefined) domains.set(sink.transactions.domain, sink.transactions);
    else if (sink.delivery === undefined || sink.delivery === 'at-least-once' || sink.delivery === 'transactional') {
      throw cannot(name, `the sink ${sink.name} cannot tell rows that are written again. Take one that can (log, files, kafka), or guarantee 'at-least-once'`);
    }
  }
  if (domains.size > 1) {
    throw cannot(
      name,
      `its sinks write to ${[...domains.keys()].join(' and ')}, and one transaction spans one cluster. Write to one of them, and copy from there`,
    );
  }
  return [...domains.values()][0];
}

function positionsBySource({ positions, written }: CheckpointCut, counts: readonly number[]): CommittedPosition[][] {
  let first = 0;
  return counts.map((count) => {
    const offsets = positions.slice(first, (first += count));
    return offsets.map((offset, partition) => ({ partition, offset, metadata: JSON.stringify({ checkpoint: written }) }));
  });
}

function cannot(pipeline: string, why: string): MillraceError {
  return new MillraceError('ERR_MILLRACE_PIPELINE', `The pipeline ${shown(pipeline)} cannot be exactly-once: ${why}.`);
}

function refused(dir: string, what: string): MillraceError {
  return new MillraceError('ERR_MILLRACE_CHECKPOINT', `The checkpoint directory ${dir} ${what}.`);
}
