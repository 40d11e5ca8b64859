/**
 * The coordinator's end: bulk requests, and what their answers say of each document. Elasticsearch 7 and later,
 * OpenSearch, and what else speaks `_bulk`.
 */

import { MillraceError, type Schema, shown } from '../../core/index.ts';
import { type RecordFault, type Records, Refused, TooLarge, type Transport } from '../delivery/index.ts';
import { busy, type HttpAnswer, type HttpClient, isPassingStatus, wordsOf } from '../http/index.ts';
import type { ElasticsearchSinkOptions } from './options.ts';

const NDJSON = { 'content-type': 'application/x-ndjson', accept: 'application/json' };
const JSON_TYPE = { 'content-type': 'application/json', accept: 'application/json' };
/** What is asked of the answer: no more than needed. */
const FILTER = 'errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason';
const NO_ERRORS = Buffer.from('"errors":false');
const HEAD_BYTES = 64;

/** Errors that are of the place, not of the document. */
const OF_THE_PLACE: ReadonlySet<string> = new Set(['index_not_found_exception', 'security_exception', 'index_closed_exception', 'no_such_index_exception']);

interface BulkError {
  readonly type?: string;
  readonly reason?: string;
  readonly caused_by?: { readonly reason?: string };
}

interface BulkAnswer {
  readonly errors?: boolean;
  readonly items?: readonly Record<string, { readonly status: number; readonly error?: BulkError }>[];
}

export class Bulk implements Transport {
  readonly #name: string;
  readonly #client: HttpClient;
  readonly #path: string;
  /** With an id of the row, a document that is there was written by the same row before. */
  readonly #isIdempotent: boolean;

  constructor(name: string, client: HttpClient, { index, indexTime, id, ingestPipeline, refresh }: ElasticsearchSinkOptions) {
    this.#name = name;
    this.#client = client;
    this.#isIdempotent = id !== undefined;
    const place = indexTime === undefined ? `/${encodeURIComponent(index)}/_bulk` : '/_bulk';
    const query = new URLSearchParams({ filter_path: FILTER });
    if (ingestPipeline !== undefined) query.set('pipeline', ingestPipeline);
    if (refresh === true) query.set('refresh', 'wait_for');
    this.#path = `${place}?${query}`;
  }

  async send(records: Records, signal: AbortSignal): Promise<readonly RecordFault[]> {
    const answer = await this.#client.send({ method: 'POST', path: this.#path, headers: NDJSON, body: records.chunks, signal });
    if (answer.status === 413) throw new TooLarge(`the server takes no request of ${records.byteLength} bytes`);
    if (isPassingStatus(answer.status)) throw busy(this.#client, answer);
    // An id that is too long, for example: the server looks at these before it takes any document.
    if (answer.status === 400 && answer.text().includes('action_request_validation_exception')) throw new Refused(reasonOf(answer));
    if (answer.status !== 200)
      throw new MillraceError('ERR_MILLRACE_SINK', `${this.#name} is not written to: ${this.#client.place} answers with ${wordsOf(answer)}.`);
    if (answer.body.subarray(0, HEAD_BYTES).includes(NO_ERRORS)) return [];
    const { items = [] } = answer.json() as BulkAnswer;
    if (items.length !== records.count)
      throw new MillraceError(
        'ERR_MILLRACE_SINK',
        `${this.#name}: the answer has ${items.length} items for ${records.count} documents. Is ${this.#client.place} an Elasticsearch?`,
      );
    return items.flatMap((item, record) => this.#faultOf(item, record));
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  #faultOf(item: Record<string, { readonly status: number; readonly error?: BulkError }>, record: number): RecordFault[] {
    const [[operation, { status, error = {} }]] = Object.entries(item) as [[string, { status: number; error?: BulkError }]];
    if (status < 300 || (status === 404 && operation === 'delete')) return [];
    // A newer version is there, or the same document.
    if (status === 409 && this.#isIdempotent) return [];
    const message = `${error.type ?? `status ${status}`}: ${[error.reason, error.caused_by?.reason].filter((text) => text !== undefined).join(': ') || 'no reason is given'}`;
    if (OF_THE_PLACE.has(error.type ?? '')) throw new MillraceError('ERR_MILLRACE_SINK', `${this.#name} is not written to: ${message}.`);
    return [{ record, isRetriable: isPassingStatus(status), message }];
  }
}

/** What is wrong, in the server's words. */
function reasonOf(answer: HttpAnswer): string {
  const { error } = answer.json() as { error?: { type?: string; reason?: string } };
  return `${error?.type}: ${error?.reason}`;
}

/**
 * Checks that the server answers and takes our credentials, and that the index is there where it has to be.
 *
 * @throws MillraceError ERR_MILLRACE_SINK; Unavailable when no server answers
 */
export async function openIndex(name: string, client: HttpClient, options: ElasticsearchSinkOptions, schema: Schema, signal: AbortSignal): Promise<void> {
  const { index, indexTime, createIndex } = options;
  const path = indexTime === undefined ? `/${encodeURIComponent(index)}` : '/_cluster/health';
  const answer = await client.send({ method: 'GET', path, headers: { accept: 'application/json' }, signal });
  if (isPassingStatus(answer.status)) throw busy(client, answer);
  if (answer.status === 401 || (answer.status === 403 && indexTime === undefined)) {
    const hint = answer.status === 401 ? 'Check the option auth.' : 'Give the user the right to view and write it.';
    throw new MillraceError('ERR_MILLRACE_SINK', `${name}: ${client.place} refuses: ${wordsOf(answer)}. ${hint}`);
  }
  if (answer.status !== 404 || createIndex === undefined) return;
  const body = createIndex === true ? { mappings: mappingsOf(schema) } : createIndex;
  const made = await client.send({ method: 'PUT', path, headers: JSON_TYPE, body: JSON.stringify(body), signal });
  if (isPassingStatus(made.status)) throw busy(client, made);
  // Another process may have made it in between.
  if (made.status >= 300 && !made.text().includes('resource_already_exists_exception'))
    throw new MillraceError('ERR_MILLRACE_SINK', `${name}: the index ${shown(index)} cannot be made: ${wordsOf(made)}.`);
}

const TYPES: Readonly<Record<string, object>> = {
  bool: { type: 'boolean' },
  i8: { type: 'byte' },
  i16: { type: 'short' },
  i32: { type: 'integer' },
  u32: { type: 'long' },
  i64: { type: 'long' },
  f32: { type: 'float' },
  f64: { type: 'double' },
  utf8: { type: 'keyword' },
  binary: { type: 'binary' },
  timestamp: { type: 'date', format: 'epoch_millis' },
};

function mappingsOf(schema: Schema): object {
  return { properties: Object.fromEntries(schema.fields.map(({ name, type }) => [name, TYPES[type.name] ?? {}])) };
}
