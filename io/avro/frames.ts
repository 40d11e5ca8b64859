/** What precedes a record of Avro, and which schema that names: nothing, a fingerprint, the id of a registry. */

import { MillraceError, type SharedMemory, shown } from '../../core/index.ts';
import { REGISTRY_BYTES, type RegistryWait, registryIdAt, type SchemaRegistry } from '../schema-registry.ts';
import { type AvroType, fingerprint, parseAvroSchema } from './schema.ts';

export interface AvroFrame {
  /** Its bytes. */
  readonly bytes: number;
  /** What names the writer's schema, from the `length` bytes at `at`; -1: they are no such thing. A number is one schema for the life of a frame. */
  schemaAt(memory: SharedMemory, at: number, length: number): number;
  /** What a record has to begin with, in a message. */
  readonly shown: string;
  /** The schema of that number, or why there is none, which may pass; a promise where it has to be fetched first. */
  find(schema: number, wait: RegistryWait): WriterSchema | Promise<void>;
}

export type WriterSchema = { readonly type: AvroType; readonly name: string } | { readonly fault: string };

const MARK = 0x01c3;
const MARKED_BYTES = 10;
const PRINT_BYTES = 8;

export function bareFrame(type: AvroType): AvroFrame {
  return { bytes: 0, shown: 'a record', schemaAt: () => 0, find: () => ({ type, name: '' }) };
}

/** Single-object encoding: the schemas are known. */
export function markedFrame(types: readonly AvroType[]): AvroFrame {
  const prints = types.map((type) => printBytes(type));
  return {
    bytes: MARKED_BYTES,
    shown: 'the mark C3 01 and a fingerprint of 8 bytes',
    schemaAt({ u8, view }, at, length) {
      if (length < MARKED_BYTES || view.getUint16(at, true) !== MARK) return -1;
      return prints.findIndex((print) => print.every((byte, i) => u8[at + 2 + i] === byte)) + 1;
    },
    find(schema) {
      const type = types[schema - 1];
      if (type !== undefined) return { type, name: type.name ?? '' };
      return { fault: 'its fingerprint is that of no schema in the option writer' };
    },
  };
}

export function markOf(type: AvroType): Uint8Array {
  const bytes = new Uint8Array(MARKED_BYTES);
  new DataView(bytes.buffer).setUint16(0, MARK, true);
  bytes.set(printBytes(type), 2);
  return bytes;
}

/** Confluent's wire format. */
export function registryFrame(registry: SchemaRegistry): AvroFrame {
  const parsed = new Map<number, WriterSchema>();
  return {
    bytes: REGISTRY_BYTES,
    shown: 'a zero byte and the id of a schema, 4 bytes',
    schemaAt: registryIdAt,
    find(id, wait) {
      const known = parsed.get(id);
      if (known !== undefined) return known;
      const found = registry.find(id);
      if (found === undefined) return registry.fetch(id, wait);
      if ('fault' in found) return found;
      const made = writerOf(id, found);
      parsed.set(id, made);
      return made;
    },
  };
}

function writerOf(id: number, found: Exclude<ReturnType<SchemaRegistry['find']>, undefined | { fault: string }>): WriterSchema {
  const name = `id ${id} of the registry`;
  if (found.type !== 'AVRO') return { fault: `its schema, ${name}, is ${shown(found.type)}, and the codec is avro()` };
  try {
    const known = new Map<string, AvroType>();
    for (const reference of found.references) parseAvroSchema(`the reference ${shown(reference.name)}`, reference.schema, known);
    return { type: parseAvroSchema(name, found.schema, known), name };
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error;
    return { fault: `its schema cannot be read: ${error.message}` };
  }
}

function printBytes(type: AvroType): Uint8Array {
  const bytes = new Uint8Array(PRINT_BYTES);
  new DataView(bytes.buffer).setBigUint64(0, fingerprint(type), true);
  return bytes;
}
