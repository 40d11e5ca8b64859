/**
 * A manifest as the bytes of its file. The first line has the format, a checksum and the length of what
 * follows. What follows is JSON, laid out for people:
 *
 *   millrace checkpoint 1 0c1d2e3f 2345
 *   {
 *   "format": 1,
 *   ...
 *   }
 *
 * The checksum is CRC32C over the first line without the checksum, `millrace checkpoint 1 2345` and a line
 * feed, and over what follows. First lines of later formats look the same, so that a newer format can be told
 * from damage. Nothing is believed before the checksum has been checked, and each member is checked after it.
 */

import { crc32cBytes, MillraceError, shown, type WatermarkState } from '../../core/index.ts';
import type { OperatorIdentity, PlanIdentity, StateHead } from '../plan/index.ts';
import { segmentNamed } from '../state-log/index.ts';
import { type CheckpointId, MANIFEST_FORMAT, type Manifest, type ManifestSegment, type SourcePositions } from './manifest.ts';
import { type FieldReader, fields, list, MemberError, plainValue, text, time, unique, whole } from './manifest-members.ts';
import { RUN_MAX } from './names.ts';

/** Longest file that is read. */
export const MANIFEST_BYTES_MAX = 64 << 20;
const FIRST_LINE = /^millrace checkpoint (\d{1,6}) ([0-9a-f]{8}) (\d{1,10})$/;
const FIRST_LINE_BYTES_MAX = 64;
const PARTITIONS_MAX = 1 << 20;

/** The manifest, or why these bytes are none. */
export type ReadManifest = { readonly manifest: Manifest } | { readonly damage: string };

/** @throws MillraceError ERR_MILLRACE_CHECKPOINT when it could not be read again: values out of range, or too long */
export function encodeManifest(manifest: Manifest): Uint8Array {
  const json = Buffer.from(laidOut(manifest));
  const checksum = checksumOf(MANIFEST_FORMAT, json.length, json, 0);
  const bytes = Buffer.concat([Buffer.from(`millrace checkpoint ${MANIFEST_FORMAT} ${checksum} ${json.length}\n`), json]);
  const again = decodeManifest('(new)', bytes);
  if ('manifest' in again) return bytes;
  throw new MillraceError(
    'ERR_MILLRACE_CHECKPOINT',
    `The manifest of checkpoint ${manifest.checkpoint} cannot be written: ${again.damage}. This is a fault of millrace. The checkpoint before stays as it is.`,
  );
}

/**
 * Reads a file.
 *
 * @param path for messages
 * @throws MillraceError ERR_MILLRACE_CHECKPOINT when it is whole, but of a later format
 */
export function decodeManifest(path: string, bytes: Uint8Array): ReadManifest {
  if (bytes.length > MANIFEST_BYTES_MAX) return { damage: `it is longer than ${MANIFEST_BYTES_MAX} bytes` };
  const end = bytes.subarray(0, FIRST_LINE_BYTES_MAX).indexOf(0x0a);
  const line = Buffer.from(bytes.subarray(0, Math.max(end, 0))).toString('latin1');
  const [, format, checksum, length] = FIRST_LINE.exec(line) ?? [];
  if (format === undefined) return { damage: bytes.length === 0 ? 'it is empty' : 'its first line is not that of a manifest' };
  const from = end + 1;
  if (bytes.length - from !== Number(length)) return { damage: `${bytes.length - from} bytes follow its first line, which says ${length}` };
  if (checksumOf(Number(format), Number(length), bytes, from) !== checksum) return { damage: 'its checksum is wrong' };
  if (Number(format) > MANIFEST_FORMAT) {
    throw new MillraceError(
      'ERR_MILLRACE_CHECKPOINT',
      `The checkpoint ${path} has the format ${format}; this version of millrace reads ${MANIFEST_FORMAT}. Go on with the version that wrote it, or a later one, or give another directory.`,
    );
  }
  try {
    const json = new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(from));
    return { manifest: manifestOf(JSON.parse(json)) };
  } catch (error) {
    if (error instanceof MemberError) return { damage: error.message };
    if (error instanceof SyntaxError || error instanceof TypeError || error instanceof RangeError) return { damage: `it is no JSON: ${shown(error.message)}` };
    throw error;
  }
}

function checksumOf(format: number, length: number, bytes: Uint8Array, from: number): string {
  const line = Buffer.from(`millrace checkpoint ${format} ${length}\n`);
  return crc32cBytes(bytes, from, bytes.length, crc32cBytes(line)).toString(16).padStart(8, '0');
}

/** JSON with a member on each line, and an element of a list of objects on each line. */
function laidOut(manifest: Manifest): string {
  const members = Object.entries(manifest).flatMap(([name, value]) => {
    if (value === undefined) return [];
    const isListed = Array.isArray(value) && typeof value[0] === 'object';
    return [`${JSON.stringify(name)}: ${isListed ? `[\n  ${value.map(jsonOf).join(',\n  ')}\n]` : jsonOf(value)}`];
  });
  return `{\n${members.join(',\n')}\n}\n`;
}

/** JSON in which the numbers that it does not know are texts. */
function jsonOf(value: unknown): string {
  return JSON.stringify(value, (_, of: unknown) =>
    typeof of === 'number' && (!Number.isFinite(of) || Object.is(of, -0)) ? (Object.is(of, -0) ? '-0' : String(of)) : of,
  );
}

function manifestOf(value: unknown): Manifest {
  const read = fields('', value);
  const id = checkpointId(read);
  const head = read('plan', stateHead);
  const count = (is: (operator: OperatorIdentity) => boolean): number => head.plan.operators.filter(is).length;
  const manifest: Manifest = {
    format: read('format', whole(MANIFEST_FORMAT, MANIFEST_FORMAT)) as typeof MANIFEST_FORMAT,
    millrace: read('millrace', text),
    ...id,
    from: read('from', (path, from) => (from === null ? null : checkpointId(fields(path, from)))),
    written: read('written', whole(id.checkpoint)),
    writtenAtMs: read('writtenAtMs', time),
    plan: head,
    nowMs: read('nowMs', time),
    sources: read(
      'sources',
      list(
        sourcePositions,
        count(({ kind }) => kind === 'source'),
      ),
    ),
    watermarks: read(
      'watermarks',
      list(
        watermarkState,
        count(({ kind }) => kind === 'watermark'),
      ),
    ),
    heldUntil: read(
      'heldUntil',
      list(
        time,
        count(({ kind, format }) => format > 0 && kind !== 'watermark'),
      ),
    ),
    segments: read('segments', list(segment)),
    stateBytes: read('stateBytes', whole()),
  };
  unique(
    'segments',
    manifest.segments.map(({ name }) => name),
  );
  for (const { name, to } of manifest.segments) {
    if (to > id.checkpoint) throw new MemberError(`the segment ${name} goes on to epoch ${to}, behind the checkpoint`);
    if ((segmentNamed(name)?.run as number) > id.run) throw new MemberError(`the segment ${name} is of a later run`);
  }
  if (manifest.from !== null && manifest.from.run >= id.run)
    throw new MemberError(`the run ${id.run} began from run ${manifest.from.run}, which is not before it`);
  if (manifest.from !== null && manifest.from.checkpoint > id.checkpoint)
    throw new MemberError(`it began from checkpoint ${manifest.from.checkpoint}, behind it`);
  const operators = read('operators', (path, found) => (found === undefined ? undefined : list(operatorBytes)(path, found)));
  return operators === undefined ? manifest : { ...manifest, operators };
}

function checkpointId(read: FieldReader): CheckpointId {
  return { run: read('run', whole(1, RUN_MAX)), checkpoint: read('checkpoint', whole()) };
}

function stateHead(path: string, value: unknown): StateHead {
  const read = fields(path, value);
  return { format: read('format', whole()), plan: read('plan', planIdentity) };
}

function planIdentity(path: string, value: unknown): PlanIdentity {
  const read = fields(path, value);
  return { pipeline: read('pipeline', text), operators: read('operators', list(operator)), wires: read('wires', list(text)), views: read('views', list(text)) };
}

function operator(path: string, value: unknown): OperatorIdentity {
  const read = fields(path, value);
  return {
    name: read('name', text),
    kind: read('kind', text),
    hash: read('hash', text),
    format: read('format', whole()),
    facts: read('facts', plainValue),
  };
}

function sourcePositions(path: string, value: unknown): SourcePositions {
  const read = fields(path, value);
  const identity = read('identity', (where, found) => (found === undefined ? undefined : list(text)(where, found)));
  const positions = { name: read('name', text), positions: read('positions', list(position)) };
  return identity === undefined ? positions : { ...positions, identity };
}

function position(path: string, value: unknown): SourcePositions['positions'][number] {
  const read = fields(path, value);
  const offset = read('offset', whole());
  const drained = read('drained', (where, found) => (found === undefined ? undefined : whole()(where, found)));
  return drained === undefined ? { offset } : { offset, drained };
}

function watermarkState(path: string, value: unknown): WatermarkState {
  const read = fields(path, value);
  const state = { currentMs: read('currentMs', time), partitions: read('partitions', list(watermarkPartition)) };
  unique(
    `${path}.partitions`,
    state.partitions.map(({ partition }) => partition),
  );
  return state;
}

function watermarkPartition(path: string, value: unknown): WatermarkState['partitions'][number] {
  const read = fields(path, value);
  const state = read('state', text);
  if (state !== 'active' && state !== 'idle' && state !== 'ended') throw new MemberError(`${path}.state is ${shown(state)}`);
  const maxMs = read('maxMs', time);
  // No row is of that time.
  if (maxMs === Number.POSITIVE_INFINITY) throw new MemberError(`${path}.maxMs is Infinity`);
  return { partition: read('partition', whole(0, PARTITIONS_MAX)), maxMs, state };
}

function segment(path: string, value: unknown): ManifestSegment {
  const read = fields(path, value);
  const name = read('name', text);
  if (segmentNamed(name) === undefined) throw new MemberError(`${path}.name is ${shown(name)}, which is no segment's`);
  const from = read('from', whole());
  return { name, from, to: read('to', whole(from)) };
}

function operatorBytes(path: string, value: unknown): NonNullable<Manifest['operators']>[number] {
  const read = fields(path, value);
  return { name: read('name', text), shards: read('shards', whole()), bytes: read('bytes', whole()) };
}
