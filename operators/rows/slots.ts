/**
 * Where the columns of the current row are while a loop is generated: still in the input batch, or in a local
 * that an earlier operation computed. A slot gives the text that reads it, in three forms: the exact value,
 * the value after ToNumber (so that a nullable number needs no boxed union), and the value as a condition.
 */

import { type DataType, type Field, pathOf } from '../../core/index.ts';
import type { Source } from './source.ts';

/** Sets of JavaScript types, as bits. */
export const NUMBER = 1;
export const BOOLEAN = 2;
export const STRING = 4;
export const BIGINT = 8;
export const NULL = 16;
export const UNDEFINED = 32;
export const OBJECT = 64;
export const ANY = 127;
/** ToNumber of these neither throws nor parses. */
export const NUMERIC = NUMBER | BOOLEAN | NULL | UNDEFINED;

export type Slot =
  | { readonly at: 'input'; readonly column: number; readonly field: Field }
  | { readonly at: 'local'; readonly id: string; readonly field: Field; readonly mayBeNull: boolean };

export function typeMask({ name, element }: DataType): number {
  // A list is an array in functions, whatever its column holds.
  if (element !== undefined) return OBJECT;
  switch (name) {
    case 'bool':
      return BOOLEAN;
    case 'utf8':
      return STRING;
    case 'i64':
      return BIGINT;
    case 'binary':
      return OBJECT;
    default:
      return NUMBER;
  }
}

export function mayBeNull(slot: Slot): boolean {
  return slot.at === 'local' ? slot.mayBeNull : slot.field.type.nullable;
}

export function slotMask(slot: Slot): number {
  return typeMask(slot.field.type) | (mayBeNull(slot) ? NULL : 0);
}

/** 1 or 0 of a bitmap whose address is in `base`. */
export function bitText(base: string, row: string): string {
  return `((u8[(${base}+(${row}>>>3))>>>0]>>>(${row}&7))&1)`;
}

/** Validity bit of an input column: an identifier that is 1 or 0. */
export function validText(source: Source, column: number): string {
  return source.onDemand(`y${column}`, `const y${column}=${bitText(`w${column}`, 'i0')};`);
}

/** Start and end address of a text in an input column. */
export function textSpan(source: Source, column: number): { readonly start: string; readonly end: string } {
  return {
    start: source.onDemand(`b${column}`, `const b${column}=(t${column}+i32[q${column}+i0])>>>0;`),
    end: source.onDemand(`e${column}`, `const e${column}=(t${column}+i32[q${column}+i0+1])>>>0;`),
  };
}

/** High (signed) and low (unsigned) half of an i64 in an input column. */
export function halves(source: Source, column: number): { readonly high: string; readonly low: string } {
  return {
    high: source.onDemand(`gh${column}`, `const gh${column}=i32[(d${column}+i0)*2+1];`),
    low: source.onDemand(`gl${column}`, `const gl${column}=u32[(d${column}+i0)*2];`),
  };
}

/**
 * The raw value of an input column, whatever its validity bit says. Strings, bigints and bytes are made at
 * most once per row.
 */
function rawText(source: Source, column: number, { name, element }: DataType, wrap: (raw: string) => string): string {
  const x = `x${column}`;
  const once = (raw: string) => `(${source.onDemand(`g${column}`, `let g${column};`)}===void 0?g${column}=${wrap(raw)}:g${column})`;
  switch (name) {
    case 'bool':
      return wrap(source.onDemand(x, `const ${x}=${bitText(`d${column}`, 'i0')}===1;`));
    case 'timestamp': {
      return wrap(source.onDemand(x, `const ${x}=i32[d${column}+i0*2+1]*4294967296+u32[d${column}+i0*2];`));
    }
    case 'i64':
      return once(`i64[d${column}+i0]`);
    case 'utf8': {
      const { start, end } = textSpan(source, column);
      // Each reader has an array of its own, as it has bytes.
      if (element !== undefined) return wrap(`h18(${source.constant(element)},${start},${end})`);
      return once(`h0(${start},${end})`);
    }
    case 'binary': {
      const { start, end } = textSpan(source, column);
      return wrap(`h1(${start},${end})`);
    }
    default:
      return wrap(source.onDemand(x, `const ${x}=${VIEW[name]}[d${column}+i0];`));
  }
}

const VIEW = { i8: 'i8', i16: 'i16', i32: 'i32', u32: 'u32', f32: 'f32', f64: 'f64' } as const;

/** The exact value. */
export function valueText(source: Source, slot: Slot): string {
  if (slot.at === 'local') return slot.id;
  const isNullable = slot.field.type.nullable;
  return rawText(source, slot.column, slot.field.type, (raw) => (isNullable ? `(${validText(source, slot.column)}===1?${raw}:null)` : raw));
}

/** The value after ToNumber, for numbers and booleans: null is 0. */
export function toNumberText(source: Source, slot: Slot): string {
  const isNumber = typeMask(slot.field.type) === NUMBER;
  if (slot.at === 'local') return slot.mayBeNull || !isNumber ? `(+${slot.id})` : slot.id;
  const wrap = slot.field.type.nullable ? (raw: string) => `(${validText(source, slot.column)}===1?${raw}:0)` : (raw: string) => raw;
  const text = rawText(source, slot.column, slot.field.type, wrap);
  return isNumber ? text : `(+${text})`;
}

/** The value as a condition. */
export function conditionText(source: Source, slot: Slot): string {
  const mask = typeMask(slot.field.type);
  if (slot.at === 'local') return slot.id;
  const { column } = slot;
  const valid = slot.field.type.nullable ? `${validText(source, column)}===1&&` : '';
  if (mask === STRING) {
    const { start, end } = textSpan(source, column);
    return `(${valid}${end}!==${start})`;
  }
  if (mask === BIGINT) {
    const { high, low } = halves(source, column);
    return `(${valid}(${high}|${low})!==0)`;
  }
  if (mask === OBJECT) return slot.field.type.nullable ? `(${validText(source, column)}===1)` : 'true';
  const raw = rawText(source, column, slot.field.type, (text) => text);
  return valid === '' ? raw : `(${valid}${raw})`;
}

/** Whether the value is null; undefined when it never is. */
export function isNullText(source: Source, slot: Slot): string | undefined {
  if (!mayBeNull(slot)) return undefined;
  return slot.at === 'local' ? `(${slot.id}===null)` : `(${validText(source, slot.column)}===0)`;
}

/** A column of the row object that a closure is called with. */
export interface RowPart {
  /** As the row has it: its name may not be that of the slot's field. */
  readonly field: Field;
  readonly slot: Slot;
}

/**
 * A fresh plain object with these columns, those of a struct as one object in it. A literal does not find the
 * names of Object.prototype, as assignment would.
 */
export function rowText(source: Source, row: readonly RowPart[]): string {
  return objectText(
    source,
    row.map(({ field, slot }) => ({ path: pathOf(field), value: valueText(source, slot) })),
  );
}

function objectText(source: Source, parts: readonly { readonly path: readonly string[]; readonly value: string }[]): string {
  const members = new Map<string, { path: readonly string[]; value: string }[]>();
  for (const { path, value } of parts) {
    const [name, ...rest] = path as [string, ...string[]];
    const inner = members.get(name) ?? [];
    members.set(name, inner);
    inner.push({ path: rest, value });
  }
  const names = [...members.keys()];
  const values = names.map((name) => {
    const inner = members.get(name) as { path: readonly string[]; value: string }[];
    return inner[0]?.path.length === 0 ? (inner[0].value as string) : objectText(source, inner);
  });
  if (names.some((name) => name in Object.prototype)) return `{${names.map((name, n) => `[${source.constant(name)}]:${values[n]}`).join(',')}}`;
  return `new ${source.rowConstructor(names)}(${values.join(',')})`;
}
