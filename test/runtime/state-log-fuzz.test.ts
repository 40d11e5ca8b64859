/**
 * Hostile state logs. Where a checksum is wrong, nothing but what was written is believed. Where checksums are right, the reader may believe
 * what it reads, but it ends, reads no byte beyond the file, and refuses with an error of ours. MILLRACE_TEST_RUNS sets how many are tried.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { crc32cBytes, MillraceError, type Rng, seededRng } from '../../core/index.ts';
import { StateReader } from '../../runtime/state-log/index.ts';
import { caseCount, seedOf } from '../seed.ts';
import { contentOf, EPOCHS, logged, opened, ranges } from './logged-shards.ts';

const SHARDS = 3;
const HEAD = 32;
const { bytes: whole } = logged(SHARDS, false);
const content = contentOf(new StateReader(ranges, EPOCHS, opened(whole)), SHARDS);

/** What the reader makes of a log: its content, or undefined where it is refused. */
function read(bytes: Uint8Array, what: string): unknown {
  try {
    return contentOf(new StateReader(ranges, EPOCHS, opened(bytes)), SHARDS);
  } catch (error) {
    assert.ok(error instanceof MillraceError && error.code === 'ERR_MILLRACE_STATE', `${what}: ${error instanceof Error ? error.stack : String(error)}`);
    return undefined;
  }
}

/** Where the frames of a log are. */
function framesOf(bytes: Uint8Array): { readonly at: number; readonly bodyBytes: number; readonly end: number }[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const frames = [];
  for (let at = 0; at < bytes.length; ) {
    const bodyBytes = view.getUint32(at + 20, true);
    const end = at + HEAD + bodyBytes + (-bodyBytes & 7);
    frames.push({ at, bodyBytes, end });
    at = end;
  }
  return frames;
}
const frames = framesOf(whole);

const WORDS = [0, 1, 2, 3, 4, 5, 31, 32, 63, 64, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
const NUMBERS = [-1, 0, 1, 3, 6, 1e9, -1e15, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];

/** A log with some of its frames changed, with the right checksums, and in what way. */
function changed(rng: Rng): { readonly bytes: Uint8Array; readonly what: string } {
  const pieces: Uint8Array[] = frames.map(({ at, end }) => whole.slice(at, end));
  const what: string[] = [];
  for (let n = 1 + rng.int(2); n > 0; n--) {
    const at = rng.int(pieces.length);
    const piece = pieces[at] as Uint8Array;
    const view = new DataView(piece.buffer, piece.byteOffset, piece.length);
    const bodyBytes = piece.length < HEAD ? 0 : Math.min(piece.length - HEAD, view.getUint32(20, true));
    const how = piece.length < HEAD ? 0 : rng.int(9);
    what.push(`${how} at frame ${at}`);
    if (how === 0) pieces.splice(at, 1);
    else if (how === 1) pieces.splice(rng.int(pieces.length), 0, piece.slice());
    else if (how === 2) {
      const other = rng.int(pieces.length);
      [pieces[at], pieces[other]] = [pieces[other] as Uint8Array, piece];
    } else if (how === 3) view.setUint32([8, 12, 16][rng.int(3)] as number, WORDS[rng.int(WORDS.length)] as number, true);
    else if (how === 4) view.setUint32(20, rng.int(2) === 0 ? (WORDS[rng.int(WORDS.length)] as number) : Math.max(0, bodyBytes + rng.int(33) - 16), true);
    else if (how === 5) view.setFloat64(24, NUMBERS[rng.int(NUMBERS.length)] as number, true);
    else if (how === 6 && bodyBytes > 0) piece[HEAD + rng.int(bodyBytes)] = rng.int(256);
    else if (how === 7 && bodyBytes >= 8) view.setFloat64(HEAD + 8 * rng.int(bodyBytes >>> 3), NUMBERS[rng.int(NUMBERS.length)] as number, true);
    else pieces.splice(at, 1, piece.slice(0, rng.int(piece.length)));
    // A length that the piece does not have is checksummed over what there is.
    if (how >= 3 && how <= 7) view.setUint32(4, crc32cBytes(piece, 8, HEAD + Math.min(piece.length - HEAD, view.getUint32(20, true))), true);
    if (pieces.length === 0) break;
  }
  return { bytes: Uint8Array.from(Buffer.concat(pieces)), what: what.join(', ') };
}

test('a log that is cut off anywhere is refused', () => {
  for (let length = 0; length < whole.length; length++) assert.equal(read(whole.slice(0, length), `cut at ${length}`), undefined, `cut at ${length}`);
});

test('a flipped bit in any byte is refused, or makes no difference', () => {
  const rng = seededRng(seedOf(1));
  let refused = 0;
  for (let at = 0; at < whole.length; at++) {
    const bytes = whole.slice();
    bytes[at] = (bytes[at] as number) ^ (1 << rng.int(8));
    const found = read(bytes, `bit at ${at}`);
    if (found === undefined) refused++;
    else assert.ok(isDeepStrictEqual(found, content), `bit at ${at}`);
  }
  const padding = frames.reduce((sum, { at, bodyBytes, end }) => sum + end - at - HEAD - bodyBytes, 0);
  assert.equal(refused, whole.length - padding);
});

test('frames that were changed, moved, doubled, cut or left out, with the right checksums', (t) => {
  const runs = caseCount(4_000);
  let refused = 0;
  for (let seed = seedOf(2), last = seed + runs; seed < last; seed++) {
    const { bytes, what } = changed(seededRng(seed));
    if (read(bytes, `seed ${seed}: ${what}`) === undefined) refused++;
  }
  t.diagnostic(`${runs} logs of ${whole.length} bytes, ${refused} refused`);
  assert.ok(refused > runs / 3 && refused < runs);
});
