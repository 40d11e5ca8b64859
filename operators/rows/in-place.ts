/**
 * Searches and comparisons of a column with a literal over the bytes of the column: the same answer without
 * making the value.
 */

import { isNullText, mayBeNull, NUMBER, STRING, slotMask, textSpan, toNumberText, validText } from './slots.ts';
import type { Source } from './source.ts';
import { halvesCompared, isWithin, literalBytes, type Term } from './term.ts';

/** Methods of texts that are answered over bytes. */
const SEARCHES: ReadonlySet<string> = new Set(['startsWith', 'endsWith', 'includes']);
const INLINE_BYTES_MAX = 16;

/**
 * Length, and searches for a literal, over the bytes of an input column. The null check is up to the
 * caller.
 */
export function textInPlace(source: Source, object: Term, name: string, args: readonly Term[], isCall: boolean): string | undefined {
  if (object.slot?.at !== 'input') return undefined;
  const { start, end } = textSpan(source, object.slot.column);
  if (!isCall) return `h2(${start},${end})`;
  if (!SEARCHES.has(name) || args.length !== 1) return undefined;
  const bytes = literalBytes((args[0] as Term).literal?.value);
  if (bytes === undefined) return undefined;
  if (bytes.length === 0) return 'true';
  if (name === 'includes') return `h4(${start},${end},${source.constant(bytes)})`;
  const from = name === 'startsWith' ? start : `(${end}-${bytes.length})`;
  return `(${end}-${start}>=${bytes.length}&&${bytesAt(source, from, bytes)})`;
}

function bytesAt(source: Source, from: string, bytes: Uint8Array): string {
  if (bytes.length > INLINE_BYTES_MAX) return `h3(${from},${source.constant(bytes)})`;
  return Array.from(bytes, (byte, at) => `u8[(${from}+${at})>>>0]===${byte}`).join('&&');
}

/** Equality without making the value, where that gives the same answer. */
export function equalInPlace(source: Source, operator: string, a: Term, b: Term): string | undefined {
  if (a.slot === undefined && b.slot !== undefined) return equalInPlace(source, operator, b, a);
  if (a.slot === undefined) return undefined;
  const { slot } = a;
  const not = operator.startsWith('!') ? '!' : '';
  if (b.literal && (b.literal.value === null || (b.literal.value === undefined && operator.length === 2))) {
    return `(${not}${isNullText(source, slot) ?? 'false'})`;
  }
  if (slot.at !== 'input') return undefined;
  const valid = mayBeNull(slot) ? `${validText(source, slot.column)}===1&&` : '';
  const bytes = slotMask(slot) & STRING ? literalBytes(b.literal?.value) : undefined;
  if (bytes !== undefined) {
    const { start, end } = textSpan(source, slot.column);
    return `(${not}(${valid}${end}-${start}===${bytes.length}${bytes.length > 0 ? `&&${bytesAt(source, start, bytes)}` : ''}))`;
  }
  const inHalves = halvesCompared(source, operator, a, b);
  if (inHalves !== undefined) return inHalves;
  if (valid !== '' && slotMask(slot) & NUMBER && isWithin(b.mask, NUMBER) && !b.throws) {
    return `(${not}(${valid}${toNumberText(source, slot)}===${b.text}))`;
  }
  return undefined;
}
