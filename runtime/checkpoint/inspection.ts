/**
 * A look into a checkpoint directory, for people and their tools. It needs no lock and changes nothing, so a
 * running job may have the directory.
 */

import { join } from 'node:path';
import { MillraceError } from '../../core/index.ts';
import { NodeDisk } from '../disk/index.ts';
import { JOURNAL_FILE, readJournal } from '../epoch/index.ts';
import { openSegmentFile, StateReader, segmentNamed } from '../state-log/index.ts';
import { type Damage, findCheckpoints, lineOf } from './found.ts';
import type { Manifest } from './manifest.ts';
import { manifestName } from './names.ts';

export interface Inspection {
  readonly dir: string;
  /** Checkpoints that a job can go on from, newest first. */
  readonly checkpoints: readonly Manifest[];
  /** Of all segments, those too that no checkpoint names. */
  readonly segments: readonly { readonly name: string; readonly bytes: number; readonly isNamed: boolean }[];
  /** What the journal has: the epoch in front of its first record, and the last one. */
  readonly journal: { readonly after: number; readonly last: number } | undefined;
  readonly damaged: readonly Damage[];
}

/**
 * @param options segments: read them, too, every checksum of what the checkpoints need; takes as long as
 *   reading the state does
 * @throws MillraceError ERR_MILLRACE_CHECKPOINT when it cannot be read, or was written by a later version
 */
export async function inspectCheckpoints(dir: string, options: { readonly segments?: boolean } = {}): Promise<Inspection> {
  const isDeep = options.segments === true;
  const first = await look(dir, isDeep);
  // A job that prunes or rewrites at this moment can look like damage.
  return first.damaged.length === 0 ? first : look(dir, isDeep);
}

async function look(dir: string, isDeep: boolean): Promise<Inspection> {
  const disk = new NodeDisk(dir);
  try {
    const { files, manifests, damaged } = await findCheckpoints(disk);
    const all = lineOf(manifests);
    const found = all.map((manifest) => (isDeep ? damageIn(dir, manifest) : undefined));
    const checkpoints = all.filter((_, i) => found[i] === undefined);
    const inSegments = found.filter((damage) => damage !== undefined);
    const named = new Set(all.flatMap(({ segments }) => segments.map(({ name }) => name)));
    const segments = files.filter(({ name }) => segmentNamed(name) !== undefined).map(({ name, bytes }) => ({ name, bytes, isNamed: named.has(name) }));
    const bytes = await disk.read(JOURNAL_FILE, Number.POSITIVE_INFINITY);
    const journal = bytes === undefined ? undefined : journalOf(join(dir, JOURNAL_FILE), bytes);
    const inFiles = [...damaged, ...inSegments];
    if (typeof journal === 'string') return { dir, checkpoints, segments, journal: undefined, damaged: [...inFiles, { file: JOURNAL_FILE, reason: journal }] };
    return { dir, checkpoints, segments, journal, damaged: inFiles };
  } catch (cause) {
    if (cause instanceof MillraceError) throw cause;
    throw new MillraceError(
      'ERR_MILLRACE_CHECKPOINT',
      `The checkpoint directory ${dir} cannot be read (${(cause as Error).message}). Give the directory that the job was started with.`,
      { cause },
    );
  }
}

/** Reads the state of a checkpoint as a restart does. */
function damageIn(dir: string, { run, checkpoint, segments }: Manifest): Damage | undefined {
  try {
    new StateReader(segments, checkpoint, (name) => openSegmentFile(join(dir, name), name)).close();
    return undefined;
  } catch (error) {
    if (error instanceof MillraceError) return { file: manifestName({ run, checkpoint }), reason: error.message };
    throw error;
  }
}

function journalOf(path: string, bytes: Uint8Array): Inspection['journal'] | string {
  try {
    const { head, records } = readJournal(path, bytes);
    return { after: head.base.epoch, last: records.at(-1)?.epoch ?? head.base.epoch };
  } catch (error) {
    if (error instanceof MillraceError) return error.message;
    throw error;
  }
}

/** The same as text. */
export function describeInspection({ dir, checkpoints, segments, journal, damaged }: Inspection, nowMs: number): string {
  const lines: string[] = [];
  const [newest] = checkpoints;
  if (newest === undefined) lines.push(`${dir}: no checkpoint`);
  else lines.push(`${dir}: pipeline ${newest.plan.plan.pipeline}`);
  for (const [i, manifest] of checkpoints.entries()) {
    lines.push(
      '',
      `checkpoint ${manifest.checkpoint}, run ${manifest.run}, ${age(nowMs - manifest.writtenAtMs)} old, ${bytesText(manifest.stateBytes)} of state`,
    );
    if (i > 0) continue;
    const { from } = manifest;
    lines.push(
      `  written by millrace ${manifest.millrace}; the run began from ${from === null ? 'nothing' : `checkpoint ${from.checkpoint} of run ${from.run}`}`,
    );
    for (const { name, positions } of manifest.sources) {
      lines.push(`  source ${name}`);
      positions.forEach(({ offset, drained }, partition) => {
        lines.push(`    partition ${partition} at ${offset}${drained === undefined ? '' : `, drained at ${drained}`}`);
      });
    }
    manifest.watermarks.forEach(({ currentMs, partitions }, w) => {
      lines.push(`  watermark ${w + 1} at ${timeText(currentMs)}`);
      for (const { partition, maxMs, state } of partitions) lines.push(`    partition ${partition} has seen ${timeText(maxMs)}, ${state}`);
    });
    for (const { name, shards, bytes } of manifest.operators ?? []) lines.push(`  ${name}: ${shards} shards, ${bytesText(bytes)}`);
    for (const { name, from: first, to } of manifest.segments) {
      lines.push(`  ${name}: epochs ${first} to ${to}, ${bytesText(segments.find((one) => one.name === name)?.bytes ?? 0)}`);
    }
  }
  const unnamed = segments.filter(({ isNamed }) => !isNamed);
  if (unnamed.length > 0) {
    const bytes = unnamed.reduce((sum, one) => sum + one.bytes, 0);
    lines.push('', `${unnamed.length} segments that no checkpoint names (${bytesText(bytes)}): the next one may, or a job removes them`);
  }
  if (journal !== undefined) lines.push('', `journal: ${journal.last === journal.after ? 'no epochs' : `epochs ${journal.after + 1} to ${journal.last}`}`);
  for (const { file, reason } of damaged) lines.push('', `damaged: ${file}: ${reason}`);
  return lines.join('\n');
}

function age(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1_000));
  if (s < 120) return `${s} s`;
  if (s < 7_200) return `${Math.round(s / 60)} min`;
  return s < 172_800 ? `${Math.round(s / 3_600)} h` : `${Math.round(s / 86_400)} d`;
}

function bytesText(bytes: number): string {
  if (bytes < 10_240) return `${bytes} bytes`;
  return bytes < 10 * 1024 ** 2 ? `${Math.round(bytes / 1024)} KiB` : `${Math.round(bytes / 1024 ** 2)} MiB`;
}

/** What is no date is as it is. */
function timeText(ms: number): string {
  return Math.abs(ms) <= 8.64e15
    ? new Date(ms).toISOString()
    : ms === Number.NEGATIVE_INFINITY
      ? 'no time yet'
      : ms === Number.POSITIVE_INFINITY
        ? 'the end'
        : String(ms);
}
