/**
 * Frames: how the state log lies in segment files. A segment is a run of frames, each with its own CRC32C.
 * This file is layout only.
 *
 *   0   u32 magic
 *   4   u32 CRC32C of everything behind it, padding excluded
 *   8   u32 kind
 *   12  u32 exchange        of blocks and bases
 *   16  u32 number          block: its address; base: the shard; begin: the worker; end: how many frames the epoch has
 *   20  u32 body bytes
 *   24  f64 epoch           the frame is as of its end
 *   32  the body, padded with zeros to a multiple of 8
 *
 * Each worker writes one run of frames per epoch: begin, blocks of exchanges, bases of shards, end. An epoch
 * without its end was torn by a crash. A log that does not go on from another one begins with an epoch of
 * bases alone: that in front of the first one to come.
 *
 *   begin   f64 workers, f64 clock, and for each exchange two f64: its event time before the epoch, and after
 *   blocks  one exchange block, as it was in shared memory (operators/exchange/exchange-block.ts). It may hold
 *           addresses, which are of that memory
 *   base    the snapshot of a shard, as v8.serialize writes it: all of it, or the rest
 *   piece   what comes before that, of a snapshot that was written over several epochs. Its epoch is that of the
 *           base, which the epochs around it may be behind
 */

import { crc32cBytes, MillraceError } from '../../core/index.ts';

export const FRAME_KIND = { begin: 1, block: 2, base: 3, end: 4, piece: 5 } as const;
export type FrameKind = (typeof FRAME_KIND)[keyof typeof FRAME_KIND];

export const FRAME_HEAD_BYTES = 32;
const MAGIC = 0x6d_72_73_66;
/** Blocks and snapshots lie in shared memory of at most 4 GiB; none comes near this. */
export const FRAME_BODY_BYTES_MAX = 0x7fff_ffff;

export interface FrameHead {
  readonly kind: FrameKind;
  readonly exchange: number;
  readonly number: number;
  readonly bodyBytes: number;
  readonly epoch: number;
}

/**
 * The bytes of a frame's head.
 *
 * @param checksum of the body, given the checksum of what comes before it
 */
export function frameHead({ kind, epoch, exchange, number, bodyBytes }: FrameHead, checksum: (seed: number) => number): Uint8Array {
  const head = new Uint8Array(FRAME_HEAD_BYTES);
  const view = new DataView(head.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(8, kind, true);
  view.setUint32(12, exchange, true);
  view.setUint32(16, number, true);
  view.setUint32(20, bodyBytes, true);
  view.setFloat64(24, epoch, true);
  view.setUint32(4, checksum(crc32cBytes(head, 8)), true);
  return head;
}

/** Bytes between the body and the next frame. */
export function framePadding(bodyBytes: number): number {
  return -bodyBytes & 7;
}

/** Bytes that a frame takes in its segment. */
export function frameBytes(bodyBytes: number): number {
  return FRAME_HEAD_BYTES + bodyBytes + framePadding(bodyBytes);
}

/**
 * Reads a head. Its length is believed only as far as the file reaches, and its content only once the
 * checksum has been compared ({@link isWhole}).
 *
 * @param left bytes of the file from the head on
 * @returns undefined: no head, or one that the file is too short for
 */
export function readFrameHead(head: Uint8Array, left: number): FrameHead | undefined {
  if (head.length < FRAME_HEAD_BYTES) return undefined;
  const view = new DataView(head.buffer, head.byteOffset, FRAME_HEAD_BYTES);
  const kind = view.getUint32(8, true);
  const bodyBytes = view.getUint32(20, true);
  const epoch = view.getFloat64(24, true);
  const isHead = view.getUint32(0, true) === MAGIC && kind >= FRAME_KIND.begin && kind <= FRAME_KIND.piece && Number.isSafeInteger(epoch);
  if (!isHead || bodyBytes > FRAME_BODY_BYTES_MAX || frameBytes(bodyBytes) > left) return undefined;
  return { kind: kind as FrameKind, exchange: view.getUint32(12, true), number: view.getUint32(16, true), bodyBytes, epoch };
}

/** Whether head and body are as they were written. */
export function isWhole(head: Uint8Array, body: Uint8Array): boolean {
  const stored = new DataView(head.buffer, head.byteOffset, FRAME_HEAD_BYTES).getUint32(4, true);
  return stored === crc32cBytes(body, 0, body.length, crc32cBytes(head, 8, FRAME_HEAD_BYTES));
}

/** What the begin of an epoch says. */
export interface EpochHead {
  readonly epoch: number;
  /** How many workers wrote a run of frames for this epoch. */
  readonly workers: number;
  /** The job's clock at its end. */
  readonly nowMs: number;
  /** By exchange: its event time at the end of the epoch before, and at the end of this one. */
  readonly before: readonly number[];
  readonly after: readonly number[];
}

export function epochHeadBody({ workers, nowMs, before, after }: EpochHead): Uint8Array {
  const words = new Float64Array(2 + 2 * before.length);
  words[0] = workers;
  words[1] = nowMs;
  before.forEach((time, exchange) => {
    words[2 + 2 * exchange] = time;
    words[3 + 2 * exchange] = after[exchange] as number;
  });
  return new Uint8Array(words.buffer);
}

export function readEpochHead(epoch: number, body: Uint8Array): EpochHead | undefined {
  if (body.length < 16 || body.length % 16 !== 0) return undefined;
  const words = new Float64Array(body.slice().buffer);
  const exchanges = (words.length - 2) / 2;
  const at = (offset: number) => Array.from({ length: exchanges }, (_, exchange) => words[2 + 2 * exchange + offset] as number);
  return { epoch, workers: words[0] as number, nowMs: words[1] as number, before: at(0), after: at(1) };
}

/** The name of a segment: of which run, of which worker, and the first epoch that it may have frames of. */
export function segmentName({ run, worker, from }: SegmentName): string {
  return `segment-${padded(run, 8)}-${padded(worker, 3)}-${padded(from, 10)}.redo`;
}

export interface SegmentName {
  readonly run: number;
  readonly worker: number;
  readonly from: number;
}

const SEGMENT = /^segment-(\d{8})-(\d{3})-(\d{10})\.redo$/;

/** What a segment's name says; undefined: it is no segment. */
export function segmentNamed(name: string): SegmentName | undefined {
  const found = SEGMENT.exec(name);
  return found === null ? undefined : { run: Number(found[1]), worker: Number(found[2]), from: Number(found[3]) };
}

function padded(value: number, digits: number): string {
  return String(value).padStart(digits, '0');
}

/** A segment, or what is in it, is not as it was written. */
export function damaged(name: string, what: string): MillraceError {
  return new MillraceError('ERR_MILLRACE_STATE', `The segment ${name} of the checkpoint is damaged: ${what}.`);
}
