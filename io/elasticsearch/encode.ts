/** Rows as items of a bulk request, in the worker: a line that says what to do, and one with the document. */

import type { Batch, Schema } from '../../core/index.ts';
import type { EncoderContext, RecordEncoder } from '../codec.ts';
import { FramedRecords, type RecordFrame, timeOf } from '../delivery/index.ts';
import { json } from '../json.ts';
import { ESCAPE_FACTOR, NUMBER_BYTES_MAX, writeAscii, writeInteger, writeJsonString } from '../text-writer.ts';
import { IndexName } from './index-name.ts';
import type { ElasticsearchSinkOptions } from './options.ts';

const LF = 0x0a;
const BRACE = 0x7d;
const FIXED_BYTES = 120;

export function bulkEncoder(context: EncoderContext, schema: Schema, name: string, options: ElasticsearchSinkOptions): RecordEncoder {
  const id = options.id === undefined ? [] : [options.id].flat();
  return new FramedRecords(context, schema, json(), id, new BulkItem(context, schema, name, options));
}

/**
 *   {"index":{"_id":"a"}}            {"update":{"_id":"a"}}                              {"delete":{"_id":"a"}}
 *   {"page":"a","n":1}               {"doc":{"page":"a","n":1},"doc_as_upsert":true}
 */
class BulkItem implements RecordFrame {
  readonly #u8: Uint8Array;
  readonly #operation: 'index' | 'create' | 'update';
  readonly #index: IndexName | undefined;
  readonly #indexTime: number;
  readonly #version: number;
  readonly #indexBytes: number;

  constructor({ memory }: EncoderContext, schema: Schema, name: string, { operation = 'index', index, indexTime, version }: ElasticsearchSinkOptions) {
    this.#u8 = memory.u8;
    this.#operation = operation;
    this.#index = indexTime === undefined ? undefined : new IndexName(name, index);
    this.#indexBytes = indexTime === undefined ? 0 : Buffer.byteLength(index) + 16;
    this.#indexTime = indexTime === undefined ? -1 : schema.require(indexTime, name);
    this.#version = version === undefined ? -1 : schema.require(version, name);
  }

  bytesMax(keyBytes: number): number {
    return FIXED_BYTES + NUMBER_BYTES_MAX + this.#indexBytes + keyBytes * ESCAPE_FACTOR;
  }

  head(batch: Batch, row: number, address: number, key: number, keyBytes: number, isGone: boolean): number {
    const u8 = this.#u8;
    let at = writeAscii(u8, address, isGone ? '{"delete":{' : `{"${this.#operation}":{`);
    const begin = at;
    if (this.#index !== undefined) at = writeAscii(u8, at, `"_index":${JSON.stringify(this.#index.at(timeOf(batch, this.#indexTime, row) ?? 0))}`);
    if (keyBytes >= 0) at = writeJsonString(u8, writeAscii(u8, at, at === begin ? '"_id":' : ',"_id":'), key, key + keyBytes);
    const version = this.#version < 0 ? undefined : timeOf(batch, this.#version, row);
    if (version !== undefined && version >= 0) {
      at = writeAscii(u8, at, at === begin ? '"version":' : ',"version":');
      at = writeAscii(u8, writeInteger(u8, at, version), ',"version_type":"external_gte"');
    }
    u8[at++] = BRACE;
    u8[at++] = BRACE;
    u8[at++] = LF;
    return !isGone && this.#operation === 'update' ? writeAscii(u8, at, '{"doc":') : at;
  }

  tail(address: number, isGone: boolean): number {
    if (isGone) return address;
    let at = this.#operation === 'update' ? writeAscii(this.#u8, address, ',"doc_as_upsert":true}') : address;
    this.#u8[at++] = LF;
    return at;
  }
}
