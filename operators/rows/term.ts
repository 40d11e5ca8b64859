/**
 * Terms: emitted sub-expressions with what is known about them, and the comparisons that need not make the
 * value (bytes of a text, halves of an i64). expression.ts makes them.
 */

import { BIGINT, BOOLEAN, halves, mayBeNull, NULL, NUMBER, NUMERIC, OBJECT, type Slot, validText } from './slots.ts';
import type { Source } from './source.ts';

export class NotEmittable extends Error {}

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

/** An emitted sub-expression: parenthesised text, the types that it can have, and whether it can throw. */
export interface Term {
  readonly text: string;
  readonly mask: number;
  readonly throws: boolean;
  /** The text after ToNumber, where it is shorter than `+text`. Only for numeric masks. */
  readonly number?: string;
  readonly condition?: string;
  /** The condition as 1 or 0 without a branch: see {@link bits}. */
  readonly bits?: string;
  /** The column, when the term is nothing but a column. */
  readonly slot?: Slot;
  /** The value, when it is a literal. */
  readonly literal?: { readonly value: unknown };
}

export function condition(term: Term): string {
  return term.condition ?? term.text;
}

/**
 * The condition as 1 or 0, for a term that is a boolean, cannot throw and is as cheap to compute as to skip:
 * no text or bigint is made for it. `&` may then stand for `&&`.
 */
export function bits(term: Term): string | undefined {
  if (term.bits !== undefined) return term.bits;
  if (term.mask !== BOOLEAN || term.throws) return undefined;
  const text = condition(term);
  return /\bh\d|void|Math/.test(text) ? undefined : `(+${text})`;
}

export function toNumber(term: Term): string {
  if (term.mask === NUMBER && term.slot === undefined) return term.text;
  return term.number ?? (term.mask === NUMBER ? term.text : `(+${term.text})`);
}

export function isWithin(mask: number, set: number): boolean {
  return (mask & ~set) === 0;
}

/** `test ? a : b`. */
export function conditional(test: Term, a: Term, b: Term): Term {
  const choice = (left: string, right: string) => `(${condition(test)}?${left}:${right})`;
  const mask = a.mask | b.mask;
  return {
    text: choice(a.text, b.text),
    mask,
    throws: test.throws || a.throws || b.throws,
    condition: choice(condition(a), condition(b)),
    ...(isWithin(mask, NUMERIC) && mask !== NUMBER ? { number: choice(toNumber(a), toNumber(b)) } : {}),
  };
}

export const NULL_TERM: Term = { text: 'null', mask: NULL, throws: false, number: '0', literal: { value: null } };

export function refuseObject(...terms: Term[]): void {
  if (terms.some((term) => (term.mask & OBJECT) !== 0)) throw new NotEmittable();
}

/**
 * The type that arithmetic gives: a bigint for two bigints, a number for two operands that are not bigints,
 * otherwise either one or a TypeError.
 */
export function bigOrNumber(...terms: Term[]): number {
  if (terms.every((term) => isWithin(term.mask, BIGINT))) return BIGINT;
  return terms.some((term) => !(term.mask & BIGINT)) ? NUMBER : NUMBER | BIGINT;
}

/** The bytes of a literal, where equality of bytes is equality of texts whatever bytes the column holds. */
export function literalBytes(value: unknown): Uint8Array | undefined {
  if (typeof value !== 'string' || value.includes('\ufffd') || /\p{Surrogate}/u.test(value)) return undefined;
  return new Uint8Array(Buffer.from(value, 'utf8'));
}

const MIRRORED: ReadonlyMap<string, string> = new Map([
  ['<', '>'],
  ['>', '<'],
  ['<=', '>='],
  ['>=', '<='],
]);

/**
 * An i64 column against an integer literal, without a bigint. A null is never equal, and is 0 in an ordering,
 * as in JavaScript.
 */
export function halvesCompared(source: Source, operator: string, a: Term, b: Term): string | undefined {
  if (b.slot !== undefined && a.literal !== undefined) return halvesCompared(source, MIRRORED.get(operator) ?? operator, b, a);
  const slot = a.slot;
  if (slot?.at !== 'input' || slot.field.type.name !== 'i64' || b.literal === undefined) return undefined;
  const literal = b.literal.value;
  const isOrder = MIRRORED.has(operator);
  const isInteger = typeof literal === 'bigint' || (typeof literal === 'number' && Number.isSafeInteger(literal) && (isOrder || operator.length === 2));
  if (!isInteger) return undefined;
  const value = BigInt(literal as bigint | number);
  if (value < INT64_MIN || value > INT64_MAX) return undefined;
  const { high, low } = halves(source, slot.column);
  const valid = mayBeNull(slot) ? validText(source, slot.column) : undefined;
  const h = value >> 32n < 0n ? `(-${-(value >> 32n)})` : `${value >> 32n}`;
  const l = `${value & 0xffff_ffffn}`;
  if (!isOrder) {
    const equal = `(${valid === undefined ? '' : `${valid}===1&&`}${high}===${h}&&${low}===${l})`;
    return operator.startsWith('!') ? `(!${equal})` : equal;
  }
  const strict = operator[0] as string;
  const ordered = `(${high}${strict}${h}||(${high}===${h}&&${low}${operator}${l}))`;
  const ofNull = { '<': 0n < value, '>': 0n > value, '<=': 0n <= value, '>=': 0n >= value }[operator];
  return valid === undefined ? ordered : `(${valid}===1?${ordered}:${ofNull})`;
}
