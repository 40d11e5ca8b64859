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
import type { CommittedPosition, Offset, SourceContext, TransactionDomain } from '../../io/index.ts';
import { type CheckpointDir, type CheckpointId, type Manifest, packageVersion, parseManifestName, type SourcePositions } from '../checkpoint/index.ts';
import { checkpointNamed, type DecisionStore, type JournalHead, type JournalRecord } from '../epoch/index.ts';
import { type Allowed, headOf, type Plan, type Succession, succession } from '../plan/index.ts';
import { segmentRanges } from '../state-log/index.ts';
import type { StoredTask } from '../workers/index.ts';
import { CheckpointStore, type StoreParts } from './checkpoint-store.ts';
import type { CheckpointCut, Resume } from './coordinator-parts.ts';
import type { Sinks } from './sinks.ts';
import type { Sources } from './sources.ts';

/** The newest, and the one before it. */
const KEPT = 2;

export type Guarantee = 'at-least-once' | 'exactly-once';

export interface CheckpointsParts {
  readonly plan: Plan;
  /** What a changed pipeline may lose. */
  readonly allowed: Allowed;
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
  /** What of the manifest goes on in this plan. */
  readonly #heirs: Succession | undefined;
  /** By source: how many partitions it has. */
  #counts: readonly number[] = [];
  /** Watermarks of the manifest, by the partitions that there are now. */
  #watermarks: readonly WatermarkState[] = [];

  private constructor({ plan, guarantee }: CheckpointsParts, store: CheckpointStore, from: Resumed | undefined, written: number) {
    this.#plan = plan;
    this.guarantee = guarantee;
    this.store = store;
    this.dir = store.dir;
    this.manifest = from?.manifest;
    this.#heirs = from?.heirs;
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
      const from = manifest === undefined ? undefined : { manifest, heirs: heirsOf(store.dir, manifest, written, parts) };
      for (const note of from?.heirs.notes ?? [])
        parts.store.warn(`The pipeline was changed since the checkpoint in ${shown(store.dir.dir)} was made: ${note}.`);
      return new Checkpoints(parts, store, from, written);
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  /** Where a source begins, by partition, and in what; undefined: it is new. */
  from(source: number): Pick<SourceContext, 'from' | 'identity'> | undefined {
    const stored = this.#stored(source);
    if (stored === undefined) return undefined;
    const from = new Map(stored.positions.map(({ offset }, partition) => [partition, offset]));
    return stored.identity === undefined ? { from } : { from, identity: stored.identity };
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
      const stored = this.#stored(source)?.positions;
      if (stored === undefined) return positions.map((position) => ({ ...position, metadata: 'checkpoint' }));
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
    const found = this.guarantee === 'exactly-once' ? journal.records.filter(({ epoch }) => epoch <= this.written) : journal.records;
    const { head, records, isOfOthers } = this.#inOrder(journal.head, found);
    return {
      path: journal.path,
      head,
      records,
      isOfOthers,
      begin: (head, kept) => journal.begin(head, kept),
      append: (record) => this.record(record),
      trim: (epoch) => journal.trim(epoch),
    };
  }

  get resume(): Resume | undefined {
    const { manifest } = this;
    if (manifest === undefined) return undefined;
    const { exchanges } = this.#heirs as Succession;
    const heldUntil = exchanges.map((of) => (of === undefined ? undefined : manifest.heldUntil[of.exchange]) ?? Number.NEGATIVE_INFINITY);
    return { checkpoint: manifest.checkpoint, written: this.written, watermarks: this.#watermarks, heldUntil, drainedAt: this.#drainedAt() };
  }

  /** Where the last run drained, by global partition; undefined: it did not, or it had other partitions. */
  #drainedAt(): Offset[] | undefined {
    const drained = this.#counts.flatMap((count, source) =>
      Array.from({ length: count }, (_, partition) => this.#stored(source)?.positions[partition]?.drained),
    );
    return drained.every((at) => at !== undefined) ? drained : undefined;
  }

  get task(): StoredTask {
    const { dir, manifest } = this;
    if (manifest === undefined) return { dir: dir.dir, run: dir.run, resume: undefined };
    const { checkpoint, segments } = manifest;
    const { exchanges } = this.#heirs as Succession;
    const predecessors = segments.length === 0 ? exchanges.map(() => undefined) : this.#isAnew ? exchanges : undefined;
    return { dir: dir.dir, run: dir.run, resume: { checkpoint, segments, watermarks: this.#watermarks, predecessors } };
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
    await this.store.write(await this.#manifestOf(cut, sources));
    await this.store.commit(written, (domain) => sources.transactional(domain, positionsBySource(cut, this.#counts)));
    await this.store.mustBeOurs();
    if (isExact) await sinks.commit(written);
    await this.dir.prune(KEPT);
    const oldest = this.dir.candidates().at(-1);
    if (oldest !== undefined) this.dir.journal.trim(oldest.checkpoint);
  }

  async #manifestOf({ checkpoint, written, positions, drainedAt, state }: CheckpointCut, readers: Sources): Promise<Manifest> {
    let first = 0;
    const sources = this.#counts.map((count, source) => {
      const from = first;
      first += count;
      const ofPartition = (offset: Offset, at: number) => (drainedAt === undefined ? { offset } : { offset, drained: drainedAt[from + at] as Offset });
      const identity = readers.identityOf(source);
      return {
        name: this.#plan.sources[source]?.source.name ?? '',
        ...(identity === undefined ? {} : { identity }),
        positions: positions.slice(from, first).map(ofPartition),
      };
    });
    const { watermarks, heldUntil, nowMs } = state;
    // Of the start itself, when epochs behind it are written: the workers have begun with bases as of it.
    const isStart = this.#isAnew && state.oldestBase === Number.NEGATIVE_INFINITY;
    const carried = this.#isAnew ? [] : (this.manifest?.segments ?? []);
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
      segments: segmentRanges(await this.dir.segments(), this.dir.run, carried, checkpoint, isStart ? checkpoint : state.oldestBase),
      stateBytes: Math.round(state.stateBytes),
    };
  }

  /** The state log does not go on, but begins anew: numbers in it are those of the plan as it was. */
  get #isAnew(): boolean {
    return this.#heirs !== undefined && (this.#heirs.areExchangesMoved || this.#heirs.areSourcesMoved);
  }

  /** What the manifest has of a source; undefined: nothing. */
  #stored(source: number): SourcePositions | undefined {
    const then = this.#heirs?.sources[source];
    return then === undefined ? undefined : this.manifest?.sources[then];
  }

  /** What the journal has, for the sources in the order that they have now. */
  #inOrder(head: JournalHead | undefined, records: readonly JournalRecord[]): Pick<DecisionStore, 'head' | 'records' | 'isOfOthers'> {
    const names = this.#plan.sources.map(({ source }) => source.name);
    if (head === undefined || this.#heirs === undefined || head.sources.join('\n') === names.join('\n')) {
      return { head, records, isOfOthers: this.#heirs?.areSourcesMoved };
    }
    const free = new Set(head.sources.keys());
    const places = names.map((name) => {
      const place = [...free].find((at) => head.sources[at] === name);
      if (place !== undefined) free.delete(place);
      return place;
    });
    if (free.size > 0 || places.includes(undefined)) return { head, records, isOfOthers: true };
    const moved = <T>(of: readonly T[]): T[] => places.map((place) => of[place as number] as T);
    return {
      head: {
        ...head,
        sources: names,
        base: { ...head.base, positions: moved(head.base.positions) },
      },
      records: records.map((record) => ({ ...record, positions: moved(record.positions), states: moved(record.states) })),
    };
  }

  /** The watermarks of a manifest, for those of the plan, over the partitions that there are now. */
  #widened({ watermarks, sources }: Manifest): WatermarkState[] {
    const heirs = this.#heirs as Succession;
    const firstThen = startsOf(sources.map(({ positions }) => positions.length));
    const firstNow = startsOf(this.#counts);
    const place = new Map<number, number>();
    heirs.sources.forEach((then, source) => {
      if (then === undefined) return;
      const { name, positions } = sources[then] as Manifest['sources'][number];
      const count = this.#counts[source] as number;
      positions.forEach(({ offset }, partition) => {
        if (partition < count) place.set((firstThen[then] as number) + partition, (firstNow[source] as number) + partition);
        else if (offset > 0) {
          throw refused(
            this.dir.dir,
            `was written when ${name} had ${positions.length} partitions; now it has ${count}. If it was made anew, delete the folder and the positions of the group`,
          );
        }
      });
    });
    return heirs.watermarks.map((then, index): WatermarkState => {
      const state = then === undefined ? undefined : watermarks[then];
      if (state === undefined) return { currentMs: Number.NEGATIVE_INFINITY, partitions: [] };
      const fed = (this.#plan.watermarks[index] as Plan['watermarks'][number]).sources;
      const partitions = state.partitions.flatMap((of) => {
        const partition = place.get(of.partition);
        const isFed =
          partition !== undefined &&
          fed.some((source) => partition >= (firstNow[source] as number) && partition < (firstNow[source] as number) + (this.#counts[source] as number));
        return isFed ? [{ ...of, partition }] : [];
      });
      return { ...state, partitions };
    });
  }
}

interface Resumed {
  readonly manifest: Manifest;
  readonly heirs: Succession;
}

/** By number, the first of so many things in a row. */
function startsOf(counts: readonly number[]): number[] {
  let next = 0;
  return counts.map((count) => {
    const first = next;
    next += count;
    return first;
  });
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

/**
 * What of a checkpoint goes on in the plan as it is now.
 *
 * @throws MillraceError ERR_MILLRACE_CHECKPOINT where state would be lost, or cannot be read
 */
function heirsOf(
  { dir, journal }: CheckpointDir,
  { plan: then, segments, checkpoint }: Manifest,
  written: number,
  { plan, allowed, guarantee, store: { warn } }: CheckpointsParts,
): Succession {
  const now = headOf(plan);
  if (then.format !== now.format && segments.length > 0) {
    throw refused(
      dir,
      `has state of format ${then.format}; this version of millrace reads ${now.format}. Go on with the version that wrote it, or delete the folder to begin anew`,
    );
  }
  const heirs = succession(then.plan, now.plan, {
    allowed,
    states: plan.exchanges.map(({ operator }) => operator.state),
    sourcesOf: plan.exchanges.map(({ sources }) => sources),
    hasRead: checkpoint > 0,
  });
  if (heirs.refusal !== undefined) throw refused(dir, heirs.refusal);
  const isRepeated = journal.records.some(({ epoch }) => epoch > checkpoint);
  if (heirs.sources.includes(undefined) || heirs.sources.length < then.plan.operators.filter(({ kind }) => kind === 'source').length) {
    if (written > checkpoint && guarantee === 'exactly-once') {
      throw refused(
        dir,
        `has output up to epoch ${written} and state up to ${checkpoint}: the epochs between must be repeated from the sources as they were. Start the pipeline once with these, until it has made a checkpoint, and change it then`,
      );
    }
    if (isRepeated && guarantee === 'at-least-once') {
      warn(
        `The sources were changed since the checkpoint in ${shown(dir)} was made: what was read behind it is not repeated as the journal has it. Its rows are cut, and stamped with processing time, anew, and their output is written again.`,
      );
    }
  }
  return heirs;
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
