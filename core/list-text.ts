/**
 * Lists at rest: JSON text in one form, so that equal lists are equal bytes. It is what `JSON.stringify` gives,
 * without white space, with these differences: an i64 is an integer of all its digits, binary is base64, a
 * jsonText is its text, and a struct has its members in the order of its type, missing ones null.
 *
 * NaN and the infinities have no JSON: they become null, and a null among floats that are not nullable reads as
 * NaN. -0 is 0.
 */

import { MillraceError, shown } from './errors.ts';
import { type DataType, type ElementType, isType, kindText } from './schema.ts';

const RANGES: Readonly<Record<string, readonly [min: number, max: number]>> = {
  i8: [-128, 127],
  i16: [-32_768, 32_767],
  i32: [-2_147_483_648, 2_147_483_647],
  u32: [0, 4_294_967_295],
};

/** What is wrong with a value that is no list of its column's type. */
class Unfit extends Error {}

/**
 * The text of a list that a user-defined function or a row gives.
 *
 * @returns the text, or what is wrong: `element 2 is "x", which is no i32`
 */
export function listText(element: ElementType, value: unknown): { readonly text: string } | { readonly problem: string } {
  try {
    return { text: arrayText(element, value, '') };
  } catch (error) {
    if (error instanceof Unfit) return { problem: error.message };
    throw error;
  }
}

/** The text of a JSON value, without white space between its tokens; undefined when the text is none. */
export function compactJson(text: string): string | undefined {
  try {
    JSON.parse(text);
  } catch {
    return undefined;
  }
  let out = '';
  let from = 0;
  for (let at = 0; at < text.length; ) {
    const unit = text.charCodeAt(at);
    if (unit === 0x22) at = stringEnd(text, at);
    else if (unit > 0x20) at++;
    else {
      out += text.slice(from, at++);
      from = at;
    }
  }
  return wellFormed(out + text.slice(from));
}

/**
 * The value of a column of lists or of JSON, to its text. Other values come back as they are, for the caller's
 * own checks.
 *
 * @throws MillraceError ERR_MILLRACE_SCHEMA when the value does not fit
 */
export function textOfValue(name: string, type: DataType, value: unknown): unknown {
  if (type.element !== undefined) {
    const made = listText(type.element, value);
    if ('text' in made) return made.text;
    throw new MillraceError(
      'ERR_MILLRACE_SCHEMA',
      `Column ${shown(name)} holds ${kindText(type)}${type.nullable ? ' or null' : ''}, but ${made.problem}. Give an array of such values, or change the column's type.`,
    );
  }
  if (!type.json) return value;
  const text = typeof value === 'string' ? compactJson(value) : undefined;
  if (text !== undefined) return text;
  throw new MillraceError(
    'ERR_MILLRACE_SCHEMA',
    `Column ${shown(name)} holds the text of a JSON value${type.nullable ? ' or null' : ''}, but the value is ${shown(value)}. Give JSON.stringify(value).`,
  );
}

/** The array that a list's text stands for. */
export function listOf(element: ElementType, text: string): unknown[] {
  if (!needsText(element)) {
    const values = JSON.parse(text) as unknown[];
    return isAsParsed(element) ? values : values.map((value) => fromParsed(element, value));
  }
  return elementTexts(text).map((part) => fromText(element, part));
}

/**
 * What stands for a value of a column in comparisons and in texts of several values: a list's text; all else
 * itself. Lists of the same values have the same text, others have others.
 */
export function comparable(value: unknown): unknown {
  if (!Array.isArray(value)) return value;
  return JSON.stringify(value, (_name, inner: unknown) => {
    if (typeof inner === 'bigint') return { i64: String(inner) };
    if (inner instanceof Uint8Array) return { bytes: Buffer.from(inner).toString('base64') };
    return typeof inner === 'number' && !Number.isFinite(inner) ? { number: String(inner) } : inner;
  });
}

/** The texts of an array's elements; of valid JSON. */
export function elementTexts(text: string): string[] {
  const parts: string[] = [];
  let at = space(text, text.indexOf('[') + 1);
  while (text[at] !== ']') {
    const end = valueEnd(text, at);
    parts.push(text.slice(at, end));
    at = space(text, end);
    if (text[at] === ',') at = space(text, at + 1);
  }
  return parts;
}

/** The texts of an object's members, the last of each name; of valid JSON. */
export function memberTexts(text: string): Map<string, string> {
  const members = new Map<string, string>();
  let at = space(text, text.indexOf('{') + 1);
  while (text[at] !== '}') {
    const keyEnd = stringEnd(text, at);
    const key = JSON.parse(text.slice(at, keyEnd)) as string;
    at = space(text, space(text, keyEnd) + 1);
    const end = valueEnd(text, at);
    members.set(key, text.slice(at, end));
    at = space(text, end);
    if (text[at] === ',') at = space(text, at + 1);
  }
  return members;
}

/** Whether JSON.parse cannot tell such a value: integers of 64 bits, and texts that must stay as they are. */
export function needsText(element: ElementType): boolean {
  if (!isType(element)) return Object.values(element).some(needsText);
  return element.name === 'i64' || element.json === true || (element.element !== undefined && needsText(element.element));
}

function isAsParsed(element: ElementType): boolean {
  if (!isType(element)) return Object.values(element).every(isAsParsed);
  if (element.element !== undefined) return isAsParsed(element.element);
  return element.name !== 'binary' && (element.nullable || (element.name !== 'f64' && element.name !== 'f32'));
}

function fromParsed(element: ElementType, value: unknown): unknown {
  if (!isType(element)) return rebuilt(element, (name, member) => fromParsed(member, (value as Record<string, unknown>)[name]));
  if (value === null) return element.nullable || (element.name !== 'f64' && element.name !== 'f32') ? null : Number.NaN;
  if (element.element !== undefined) return (value as unknown[]).map((inner) => fromParsed(element.element as ElementType, inner));
  return element.name === 'binary' ? new Uint8Array(Buffer.from(value as string, 'base64')) : value;
}

function fromText(element: ElementType, text: string): unknown {
  if (!isType(element)) {
    const members = memberTexts(text);
    return rebuilt(element, (name, member) => fromText(member, members.get(name) ?? 'null'));
  }
  if (text === 'null' && element.nullable) return null;
  if (element.json) return text;
  if (element.element !== undefined) return listOf(element.element, text);
  return element.name === 'i64' ? BigInt(text) : fromParsed(element, JSON.parse(text));
}

function rebuilt(element: Exclude<ElementType, DataType>, of: (name: string, member: ElementType) => unknown): object {
  return Object.fromEntries(Object.entries(element).map(([name, member]) => [name, of(name, member as ElementType)]));
}

function arrayText(element: ElementType, value: unknown, at: string): string {
  if (!Array.isArray(value)) throw new Unfit(`${at === '' ? 'the value' : at} is ${shown(value)}, which is no array`);
  let text = '[';
  for (let i = 0; i < value.length; i++) text += `${i === 0 ? '' : ','}${partText(element, value[i], at === '' ? `element ${i}` : `${at}[${i}]`)}`;
  return `${text}]`;
}

function partText(element: ElementType, value: unknown, at: string): string {
  if (!isType(element)) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Unfit(`${at} is ${shown(value)}, which is no object`);
    const members = Object.entries(element).map(
      ([name, member]) =>
        `${JSON.stringify(name)}:${partText(member as ElementType, Object.hasOwn(value, name) ? (value as never)[name] : undefined, `${at}.${name}`)}`,
    );
    return `{${members.join(',')}}`;
  }
  if (value === null || value === undefined) {
    if (element.nullable) return 'null';
    throw new Unfit(`${at} is ${shown(value)}, and its type is not nullable`);
  }
  if (element.element !== undefined) return arrayText(element.element, value, at);
  const text = scalarText(element, value);
  if (text === undefined) throw new Unfit(`${at} is ${shown(value)}, which is no ${kindText(element)}`);
  return text;
}

/** Undefined: the value is not of the type. */
function scalarText({ name, json }: DataType, value: unknown): string | undefined {
  if (json) return typeof value === 'string' ? compactJson(value) : undefined;
  switch (name) {
    case 'bool':
      return typeof value === 'boolean' ? String(value) : undefined;
    case 'utf8':
      return typeof value === 'string' ? JSON.stringify(wellFormed(value)) : undefined;
    case 'binary':
      return value instanceof Uint8Array ? `"${Buffer.from(value).toString('base64')}"` : undefined;
    case 'i64': {
      const whole = typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : value;
      return typeof whole === 'bigint' && BigInt.asIntN(64, whole) === whole ? String(whole) : undefined;
    }
    case 'timestamp': {
      const ms = value instanceof Date ? value.getTime() : value;
      return typeof ms === 'number' && Number.isSafeInteger(Math.floor(ms)) ? String(Math.floor(ms) + 0) : undefined;
    }
    case 'f64':
    case 'f32':
      return typeof value === 'number' ? JSON.stringify(name === 'f64' ? value : Math.fround(value)) : undefined;
    default: {
      const [min, max] = RANGES[name] as readonly [number, number];
      return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max ? String(value + 0) : undefined;
    }
  }
}

/** Lone surrogates become U+FFFD, as in UTF-8. */
function wellFormed(text: string): string {
  return (text as string & { toWellFormed(): string }).toWellFormed();
}

function space(text: string, from: number): number {
  let at = from;
  while (text.charCodeAt(at) <= 0x20) at++;
  return at;
}

/** Behind the string whose opening quote is at `from`. */
function stringEnd(text: string, from: number): number {
  let at = from + 1;
  for (; text.charCodeAt(at) !== 0x22; at++) if (text.charCodeAt(at) === 0x5c) at++;
  return at + 1;
}

/** Behind the value that starts at `from`. */
function valueEnd(text: string, from: number): number {
  let depth = 0;
  for (let at = from; ; ) {
    const unit = text.charCodeAt(at);
    if (unit === 0x22) at = stringEnd(text, at);
    else if (unit === 0x7b || unit === 0x5b) {
      depth++;
      at++;
      continue;
    } else if (unit === 0x7d || unit === 0x5d) {
      depth--;
      at++;
    } else if (depth === 0) {
      while (at < text.length && !',]} \n\r\t'.includes(text[at] as string)) at++;
      return at;
    } else {
      at++;
      continue;
    }
    if (depth === 0) return at;
  }
}
