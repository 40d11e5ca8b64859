/**
 * Lists and other values as JSON has them, to the form that columns hold (core/list-text.ts): instants that are
 * ISO 8601 become milliseconds, numbers and texts get their one form. The last of a struct's duplicate members
 * counts.
 */

import { compactJson, type DataType, type ElementType, elementTexts, isType, listText, memberTexts, needsText, shown } from '../core/index.ts';
import { parseIsoTime } from './iso-time.ts';

const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/;

/** The text that a column of lists or of JSON holds, from a text that is to be checked; or what is wrong with that. */
export function nestedText(type: DataType, given: string): { readonly text: string } | { readonly problem: string } {
  const text = compactJson(given);
  if (text === undefined) return { problem: 'is no JSON' };
  if (type.element === undefined) return { text };
  return text[0] === '[' ? listOfJson(type.element, text) : { problem: 'is no JSON of a list' };
}

/** @param json an array, which has been checked @returns its text in a column, or what is wrong with it */
export function listOfJson(element: ElementType, json: string): { readonly text: string } | { readonly problem: string } {
  try {
    const values = needsText(element)
      ? elementTexts(json).map((text) => ofText(element, text))
      : (JSON.parse(json) as unknown[]).map((v) => ofValue(element, v));
    return listText(element, values);
  } catch (error) {
    if (error instanceof NoSuchValue) return { problem: error.message };
    throw error;
  }
}

class NoSuchValue extends Error {}

/** A value as a user's function would give it. What is of no such type stays, for listText to refuse. */
function ofValue(element: ElementType, value: unknown): unknown {
  if (typeof value !== 'object' && typeof value !== 'string') return value;
  if (value === null) return null;
  if (!isType(element)) {
    if (typeof value !== 'object' || Array.isArray(value)) return value;
    return Object.fromEntries(
      Object.entries(element).map(([name, member]) => [name, Object.hasOwn(value, name) ? ofValue(member as ElementType, (value as never)[name]) : undefined]),
    );
  }
  const inner = element.element;
  if (inner !== undefined) return Array.isArray(value) ? value.map((v) => ofValue(inner, v)) : value;
  if (typeof value !== 'string') return value;
  if (element.name === 'timestamp') return timeOf(value);
  return element.name === 'binary' ? bytesOf(value) : value;
}

/** The same from a text, where numbers of 64 bits and texts of values are to be kept. */
function ofText(element: ElementType, text: string): unknown {
  if (isType(element) && element.json) return text === 'null' && element.nullable ? null : text;
  if (text === 'null') return null;
  if (!isType(element)) {
    if (text[0] !== '{') return JSON.parse(text);
    const members = memberTexts(text);
    return Object.fromEntries(
      Object.entries(element).map(([name, member]) => [name, members.has(name) ? ofText(member as ElementType, members.get(name) as string) : undefined]),
    );
  }
  const inner = element.element;
  if (inner !== undefined && text[0] === '[') return elementTexts(text).map((part) => ofText(inner, part));
  if (element.name === 'i64' && /^-?\d+$/.test(text)) return BigInt(text);
  return ofValue(element, JSON.parse(text));
}

function timeOf(text: string): number {
  const bytes = new TextEncoder().encode(text);
  const ms = parseIsoTime(bytes, 0, bytes.length);
  if (Number.isNaN(ms)) throw new NoSuchValue(`${shown(text)} is no ISO 8601 time`);
  return ms;
}

function bytesOf(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64');
  const bare = text.replaceAll('-', '+').replaceAll('_', '/').replace(/=+$/, '');
  if (!BASE64.test(text) || bytes.toString('base64').replace(/=+$/, '') !== bare) throw new NoSuchValue(`${shown(text)} is no base64`);
  return new Uint8Array(bytes);
}
