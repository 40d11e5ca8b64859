/** Records of the HBase sink, read back: the key of one, and all of it as text for the ledger. */

import { refusalOf } from '../delivery/index.ts';
import { DELETE, PUT_KEY_AT } from './encode.ts';

/** The row key, of a put or of a delete. */
export function keyOf(record: Uint8Array): Buffer {
  const bytes = Buffer.from(record.buffer, record.byteOffset, record.byteLength);
  if (record[0] === DELETE) return bytes.subarray(1);
  const [length] = readVarint(bytes, PUT_KEY_AT - 3);
  return bytes.subarray(PUT_KEY_AT, PUT_KEY_AT + length);
}

/** `{"key":"a|1","f:n":"1"}`. Bytes that are no text are shown as base64. */
export function textOf(record: Uint8Array): string {
  const refusal = refusalOf(record);
  if (refusal !== undefined) return refusal.row;
  const bytes = Buffer.from(record);
  const shown: Record<string, string> = { key: asText(keyOf(record)) };
  if (record[0] === DELETE) return JSON.stringify({ ...shown, delete: true });
  let at = PUT_KEY_AT + keyOf(record).length;
  while (at < bytes.length) {
    const [length, from] = readVarint(bytes, at + 1);
    const cell = fieldsOf(bytes.subarray(from, from + length));
    shown[asText(cell.get(2) ?? Buffer.alloc(0))] = asText(cell.get(4) ?? Buffer.alloc(0));
    at = from + length;
  }
  return JSON.stringify(shown);
}

function fieldsOf(bytes: Buffer): Map<number, Buffer> {
  const fields = new Map<number, Buffer>();
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes[at] as number;
    const [value, next] = readVarint(bytes, at + 1);
    at = next;
    if ((tag & 7) !== 2) continue;
    fields.set(tag >>> 3, bytes.subarray(at, at + value));
    at += value;
  }
  return fields;
}

/** A number, and where it ends. */
function readVarint(bytes: Buffer, from: number): [value: number, next: number] {
  let value = 0;
  let at = from;
  for (let factor = 1; ; factor *= 128) {
    const byte = bytes[at++] as number;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return [value, at];
  }
}

function asText(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  return Buffer.from(text).equals(bytes) ? text : bytes.toString('base64');
}
