/**
 * What codecs ask of a schema registry, and how records name their schema: a zero byte and the schema's id, four
 * bytes, the largest first (Confluent's wire format). The client is in registry/.
 */

import { MillraceError, type Schema, type SharedMemory } from '../core/index.ts';
import type { SinkInfo } from './sink.ts';

export type SchemaType = 'AVRO' | 'PROTOBUF' | 'JSON';

/** A schema as the registry has it. */
export interface RegisteredSchema {
  readonly id: number;
  readonly type: SchemaType;
  readonly schema: string;
  /** Schemas that it refers to, each after those that it needs. */
  readonly references: readonly { readonly name: string; readonly schema: string }[];
}

/** Who waits for the registry: a worker that scans, or a sink that opens. */
export interface RegistryWait {
  readonly signal?: AbortSignal;
  waiting?(what: string | undefined): void;
}

/** A schema that a sink is about to write. */
export interface NewSchema {
  readonly topic: string;
  /** Full name of the record or the message. */
  readonly record: string;
  readonly type: SchemaType;
  readonly schema: string;
}

export interface SchemaRegistry {
  /** For messages: where it is. */
  readonly name: string;
  /** The schema of an id, as far as it is known; undefined: it has to be fetched. */
  find(id: number): RegisteredSchema | { readonly fault: string } | undefined;
  /**
   * Resolves when `find` knows about the id.
   *
   * @throws MillraceError ERR_MILLRACE_SOURCE when the registry refuses, or is away for too long
   */
  fetch(id: number, wait: RegistryWait): Promise<void>;
  /**
   * The id of a schema, registered under its subject where it was not there.
   *
   * @throws MillraceError ERR_MILLRACE_SINK when the registry refuses it, with its own words, or is away for too long
   */
  idOf(schema: NewSchema, wait: RegistryWait): Promise<number>;
}

/** What a sink gives to a codec before its encoders begin. */
export interface PrepareContext extends RegistryWait {
  readonly topic: string;
  /** The columns to write. */
  readonly schema: Schema;
}

/** Bytes before a record of a registry. */
export const REGISTRY_BYTES = 5;

/** The id that a record begins with; -1: it does not begin so. */
export function registryIdAt({ u8, view }: SharedMemory, at: number, length: number): number {
  return length < REGISTRY_BYTES || u8[at] !== 0 ? -1 : view.getUint32(at + 1);
}

/** What precedes a record. */
export function registryPrefix(id: number): Uint8Array {
  const bytes = new Uint8Array(REGISTRY_BYTES);
  new DataView(bytes.buffer).setUint32(1, id);
  return bytes;
}

/**
 * The id that a sink's codec has got before it opened.
 *
 * @throws MillraceError ERR_MILLRACE_PIPELINE where the sink has no topic, and so got none
 */
export function preparedId(codec: string, { info }: { readonly info?: SinkInfo }): number {
  if (info?.schemaId !== undefined) return info.schemaId;
  throw new MillraceError(
    'ERR_MILLRACE_PIPELINE',
    `${codec} with a registry writes records of a topic: kafka.sink and log.sink. Leave the registry out for other sinks.`,
  );
}

/** Whether a value is a registry, for options. */
export function mustBeRegistry(what: string, value: unknown): void {
  if (value === undefined || typeof (value as Partial<SchemaRegistry> | null)?.idOf === 'function') return;
  throw new MillraceError('ERR_MILLRACE_OPTION', `${what}: registry is no registry. Give registry({ url: 'http://127.0.0.1:8081' }).`);
}
