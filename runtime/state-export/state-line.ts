/**
 * A row of state as one line of JSON, with values as `json()` writes them: bigints and times as digits,
 * numbers that JSON does not have as null, bytes in base64. State of functions may hold more: a Map is a list
 * of pairs, a Set a list, a Date its time.
 */

import type { StateRow } from '../../operators/index.ts';

/** `{"operator":"aggregate 1","key":{"page":"/a"},"windowStart":0,"windowEnd":60000,"value":{"count":3}}` */
export function stateLine(operator: string, row: StateRow): string {
  return `{"operator":${JSON.stringify(operator)}${members(row)
    .map((member) => `,${member}`)
    .join('')}}`;
}

function members(object: object): string[] {
  return Object.entries(object).flatMap(([name, value]) => (isNothing(value) ? [] : [`${JSON.stringify(name)}:${text(value)}`]));
}

function text(value: unknown): string {
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : 'null';
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  if (value instanceof Date) return text(value.getTime());
  if (value instanceof Map) return list([...value]);
  if (value instanceof Set) return list([...value]);
  if (value instanceof ArrayBuffer) return base64(new Uint8Array(value));
  if (value instanceof Uint8Array) return base64(value);
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) return list(Array.from(value as unknown as Iterable<number | bigint>));
  return Array.isArray(value) ? list(value) : `{${members(value).join(',')}}`;
}

function list(values: readonly unknown[]): string {
  return `[${values.map(text).join(',')}]`;
}

function base64(bytes: Uint8Array): string {
  return JSON.stringify(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64'));
}

/** What JSON.stringify leaves out of objects. */
function isNothing(value: unknown): boolean {
  return value === undefined || typeof value === 'function' || typeof value === 'symbol';
}
