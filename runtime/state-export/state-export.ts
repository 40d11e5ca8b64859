/**
 * The state of a checkpoint, row by row. It is read as a restart reads it: the newest checkpoint that is
 * whole, of that the base of each shard, and the rows behind it, which the shards take in again. So it needs
 * the pipeline, whose functions do that. It needs no lock and changes nothing: a job may be running there.
 */

import { createMemory, MEMORY_BYTES_MAX, MillraceError, SlabAllocator, shown } from '../../core/index.ts';
import type { StateRow } from '../../operators/index.ts';
import { inspectCheckpoints, type Manifest } from '../checkpoint/index.ts';
import { ExchangeRunner, originInLog, ownGroups, redo } from '../engine/index.ts';
import { type ExchangePlan, eventTimeOf, headOf, type Plan, type Succession, stateOperators, succession } from '../plan/index.ts';
import { openSegmentFile, StateReader } from '../state-log/index.ts';

/** Every operator may be missing, or be new: its state is not shown then. */
const ALL_ALLOWED = { dropped: true, changed: true, added: true } as const;
const MEMORY_BYTES_MIN = 256 << 20;
/** Tables and pages take more than the state that is in them. */
const MEMORY_FACTOR = 4;
/** A job that runs there removes what it no longer needs. */
const LOOKS_MAX = 3;

export interface StateExport {
  /** Which checkpoint it is: its run, and its last epoch. */
  readonly run: number;
  readonly checkpoint: number;
  /** What a person should know. */
  readonly notes: readonly string[];
  /** Operators of the pipeline that keep state, by name. */
  readonly operators: readonly string[];
  /** May be walked once. The state of one operator is in memory at a time. */
  readonly rows: Iterable<{ readonly operator: string; readonly row: StateRow }>;
  /** To be called in the end. */
  close(): void;
}

/**
 * @param plan of the pipeline that has written the checkpoints
 * @param only the name of an operator: of this one alone
 * @throws MillraceError ERR_MILLRACE_CHECKPOINT when there is no checkpoint, none is whole, or the pipeline is
 *   another one; ERR_MILLRACE_OPTION when there is no operator of that name
 */
export async function exportState(dir: string, plan: Plan, only?: string): Promise<StateExport> {
  const notes: string[] = [];
  let failure: unknown;
  for (let look = 0; look < LOOKS_MAX; look++) {
    const { checkpoints, damaged } = await inspectCheckpoints(dir);
    if (checkpoints.length === 0) {
      const files = damaged.map(({ file, reason }) => `${file}: ${reason}`).join('; ');
      const why = damaged.length === 0 ? 'has no checkpoint. Give the directory that the job was started with' : `has no checkpoint that is whole: ${files}`;
      throw new MillraceError('ERR_MILLRACE_CHECKPOINT', `The directory ${shown(dir)} ${why}.`);
    }
    notes.length = 0;
    for (const { file, reason } of damaged) notes.push(`Damaged: ${file}: ${reason}.`);
    const isLast = look === LOOKS_MAX - 1;
    for (const manifest of isLast ? checkpoints : checkpoints.slice(0, 1)) {
      try {
        return opened(dir, plan, manifest, notes, only);
      } catch (error) {
        if (!(error instanceof MillraceError) || error.code !== 'ERR_MILLRACE_STATE') throw error;
        failure = error;
        notes.push(`Checkpoint ${manifest.checkpoint} of run ${manifest.run} is left out: ${error.message}`);
      }
    }
  }
  throw new MillraceError('ERR_MILLRACE_CHECKPOINT', `The directory ${shown(dir)} has no checkpoint that is whole. ${notes.join(' ')}`, { cause: failure });
}

function opened(dir: string, plan: Plan, manifest: Manifest, notes: string[], only: string | undefined): StateExport {
  const heirs = heirsOf(dir, plan, manifest);
  const names = stateOperators(headOf(plan).plan).map(({ name }) => name);
  if (only !== undefined && !names.includes(only)) {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `There is no operator ${shown(only)} with state. Those of the pipeline are ${names.join(', ') || '(none)'}.`,
    );
  }
  const { run, checkpoint, segments } = manifest;
  const log = new StateReader(segments, checkpoint, (name) => openSegmentFile(`${dir}/${name}`, name));
  const gone = stateOperators(manifest.plan.plan).filter((_, number) => !heirs.exchanges.some((heir) => heir?.exchange === number));
  for (const { name } of gone) notes.push(`${name} of the checkpoint is not shown: the pipeline has no operator that can read its state.`);
  function* rows(): StateExport['rows'] {
    for (const [exchange, operator] of names.entries()) {
      if ((only !== undefined && operator !== only) || segments.length === 0 || heirs.exchanges[exchange] === undefined) continue;
      for (const row of stateOf(plan, exchange, manifest, heirs, log)) yield { operator, row };
    }
  }
  return { run, checkpoint, notes, operators: names, rows: rows(), close: () => log.close() };
}

/** What of the checkpoint belongs to which operator of the plan. */
function heirsOf(dir: string, plan: Plan, { plan: then }: Manifest): Succession {
  if (then.plan.pipeline !== plan.name) {
    throw new MillraceError(
      'ERR_MILLRACE_CHECKPOINT',
      `The directory ${shown(dir)} is that of the pipeline ${shown(then.plan.pipeline)}, and the module exports ${shown(plan.name)}. Give the module that the job was started with.`,
    );
  }
  return succession(then.plan, headOf(plan).plan, {
    allowed: ALL_ALLOWED,
    states: plan.exchanges.map(({ operator }) => operator.state),
    sourcesOf: plan.exchanges.map(({ sources }) => sources),
    hasRead: true,
  });
}

/** Opens all shards of one operator, and reads them. */
function stateOf(plan: Plan, exchange: number, manifest: Manifest, heirs: Succession, log: StateReader): Iterable<StateRow> {
  const then = heirs.exchanges[exchange] as NonNullable<Succession['exchanges'][number]>;
  const of = plan.exchanges[exchange] as ExchangePlan;
  const watermark = eventTimeOf(of, (w) => manifest.watermarks[heirs.watermarks[w] ?? -1]?.currentMs ?? Number.NEGATIVE_INFINITY);
  const slabs = new SlabAllocator(createMemory(Math.min(MEMORY_BYTES_MAX, Math.max(MEMORY_BYTES_MIN, manifest.stateBytes * MEMORY_FACTOR))));
  const runner = new ExchangeRunner(
    of,
    exchange,
    slabs,
    log.last?.after[then.exchange] ?? watermark,
    { run: () => {} },
    ownGroups(1, 0),
    // Rows that a function failed on were left out when they came, or the job had ended.
    { areSkipped: true, note: () => {} },
    undefined,
    originInLog(log, then.exchange, of, then, watermark),
  );
  redo(log, [runner], slabs, () => then.exchange);
  return runner.stateRows();
}
