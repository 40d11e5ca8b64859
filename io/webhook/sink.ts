/** The HTTP sink: a webhook that gets rows as JSON, many in a request. */

import { randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { type Batch, checkOptionNames, MillraceError, type Schema, type SharedMemory, shown } from '../../core/index.ts';
import { type Codec, mustBeCodec } from '../codec.ts';
import {
  DELIVERY_OPTIONS,
  type DeliveryOptions,
  DeliveryWriter,
  deliverySettings,
  FramedRecords,
  type RecordFault,
  type RecordFrame,
  Records,
  recordBlockEncoder,
  TooLarge,
  type Transport,
} from '../delivery/index.ts';
import { busy, HTTP_OPTIONS, HttpClient, type HttpConnectionOptions, isPassingStatus, wordsOf } from '../http/index.ts';
import { json } from '../json.ts';
import { type Changelog, type ChangelogSink, changelogOf, type Delivery } from '../sink.ts';

export interface HttpSinkOptions extends HttpConnectionOptions, DeliveryOptions {
  /** Default `'POST'`. */
  readonly method?: 'POST' | 'PUT' | 'PATCH';
  /** Default `json()`. With `format: 'lines'` any codec of one record a row: csv, text. */
  readonly value?: Codec;
  /** `array` (default): one JSON array of rows. `lines`: a row a line (application/x-ndjson for json). */
  readonly format?: 'array' | 'lines';
  /** Bodies are compressed. */
  readonly compression?: 'gzip';
  /**
   * The header that tells requests apart: one that is sent again has the same value. A new start of the job has other
   * values. Default `Idempotency-Key`; false: none.
   */
  readonly idempotencyHeader?: string | false;
  /** Statuses after which the same request is tried again. Default 408, 425, 429, 500, 502, 503, 504. */
  readonly retryOn?: readonly number[];
  /** `idempotent`: the receiver tells rows that come again by what is in them, so that exactly-once is allowed. */
  readonly delivery?: 'at-least-once' | 'idempotent';
  /** How rows of a table are written: see {@link Changelog}. Default: as fits the table. */
  readonly changelog?: 'retract' | 'append';
}

const OPTIONS = {
  ...HTTP_OPTIONS,
  ...DELIVERY_OPTIONS,
  method: true,
  value: true,
  format: true,
  compression: true,
  idempotencyHeader: true,
  retryOn: true,
  delivery: true,
  changelog: true,
} as const;

const REQUEST = { requestRows: 500, requestBytes: 1_024 * 1_024 };
const COMMA = 0x2c;
const LF = 0x0a;
const [OPEN, CLOSE] = [Buffer.from('['), Buffer.from(']')];
const compressed = promisify(gzip as (bytes: Uint8Array, done: (error: Error | null, result: Buffer) => void) => void);

/**
 * Sends rows to an HTTP server, many in a request, up to `concurrency` at a time. At-least-once: a request whose answer
 * was lost is sent again, under the same idempotency key. A request that is refused for its content (400, 422) is sent
 * again in halves, until the rows that are refused are found: they go to the ledger. Any other status ends the job.
 *
 * @example http.sink({ url: 'https://hooks.example.com/clicks', auth: { bearer: process.env.TOKEN }, requestRows: 100 })
 * @throws MillraceError ERR_MILLRACE_OPTION. The job fails with ERR_MILLRACE_SINK when the server refuses, or is away
 * for longer than deliveryTimeout.
 */
export function sink<R>(options: HttpSinkOptions): ChangelogSink<R> {
  const url = new HttpClient('http.sink', options ?? {}, 1);
  url.close();
  const name = `http ${url.place}`;
  check(name, options);
  const settings = deliverySettings(name, options, REQUEST);
  const { value = json(), format = 'array', delivery = 'at-least-once', changelog } = options;
  return {
    name,
    delivery: delivery as Delivery,
    changelog: changelogOf(name, changelog as Changelog | undefined),
    check: () => {},
    open: async (context) =>
      new DeliveryWriter(new Webhook(name, new HttpClient(name, options, settings.concurrency), options), settings, { ...context, name }),
    encoder: (context) => {
      const around = new Around(context.memory, format);
      return recordBlockEncoder(context, new FramedRecords(context, context.schema as Schema, value, [], around));
    },
  };
}

function check(name: string, options: HttpSinkOptions): void {
  checkOptionNames(name, options, OPTIONS);
  const refused = (message: string): MillraceError => new MillraceError('ERR_MILLRACE_OPTION', `${name}: ${message}`);
  const { method = 'POST', value, format = 'array', compression, idempotencyHeader, retryOn, delivery = 'at-least-once', changelog } = options;
  if (!['POST', 'PUT', 'PATCH'].includes(method)) throw refused(`method is ${shown(method)}; it must be 'POST', 'PUT' or 'PATCH'.`);
  if (value !== undefined) mustBeCodec(name, value);
  if (format !== 'array' && format !== 'lines') throw refused(`format is ${shown(format)}; it must be 'array' or 'lines'.`);
  if (format === 'array' && value !== undefined && value.name !== 'json')
    throw refused(`format is 'array', which is of JSON, and value is ${value.name}(). Take format: 'lines'.`);
  if (compression !== undefined && compression !== 'gzip') throw refused(`compression is ${shown(compression)}; it must be 'gzip', or left out.`);
  if (
    idempotencyHeader !== undefined &&
    idempotencyHeader !== false &&
    !(typeof idempotencyHeader === 'string' && /^[\w!#$%&'*+.^`|~-]+$/.test(idempotencyHeader))
  )
    throw refused(`idempotencyHeader is ${shown(idempotencyHeader)}; it must be the name of a header, or false.`);
  if (retryOn !== undefined && !(Array.isArray(retryOn) && retryOn.every((status) => Number.isInteger(status) && status >= 300 && status <= 599)))
    throw refused(`retryOn is ${shown(retryOn)}; it must be a list of statuses from 300 to 599.`);
  if (delivery !== 'at-least-once' && delivery !== 'idempotent') throw refused(`delivery is ${shown(delivery)}; it must be 'at-least-once' or 'idempotent'.`);
  if ((changelog as string) === 'upsert') throw refused("changelog is 'upsert', and a webhook has no keys to delete by. Take 'retract' or 'append'.");
}

/** `,{...}` for an array, a line for lines. */
class Around implements RecordFrame {
  readonly #u8: Uint8Array;
  readonly #isArray: boolean;

  constructor({ u8 }: SharedMemory, format: 'array' | 'lines') {
    this.#u8 = u8;
    this.#isArray = format === 'array';
  }

  bytesMax(): number {
    return 1;
  }

  head(_batch: Batch, _row: number, at: number): number {
    if (!this.#isArray) return at;
    this.#u8[at] = COMMA;
    return at + 1;
  }

  tail(at: number): number {
    if (this.#isArray) return at;
    this.#u8[at] = LF;
    return at + 1;
  }
}

class Webhook implements Transport {
  readonly #name: string;
  readonly #client: HttpClient;
  readonly #options: HttpSinkOptions;
  readonly #headers: Readonly<Record<string, string>>;
  /** Of this start. */
  readonly #run = randomUUID();

  constructor(name: string, client: HttpClient, options: HttpSinkOptions) {
    this.#name = name;
    this.#client = client;
    this.#options = options;
    const { format = 'array', value, compression } = options;
    const type = value !== undefined && value.name !== 'json' ? 'text/plain' : format === 'array' ? 'application/json' : 'application/x-ndjson';
    const isTyped = Object.keys(options.headers ?? {}).some((header) => header.toLowerCase() === 'content-type');
    this.#headers = { ...(isTyped ? {} : { 'content-type': type }), ...(compression === undefined ? {} : { 'content-encoding': compression }) };
  }

  async send(records: Records, signal: AbortSignal): Promise<readonly RecordFault[]> {
    const { method = 'POST', format = 'array', compression, idempotencyHeader = 'Idempotency-Key', retryOn } = this.#options;
    const pieces = format === 'lines' ? records.chunks : [OPEN, ...records.chunks.map((chunk, i) => (i === 0 ? chunk.subarray(1) : chunk)), CLOSE];
    const body = compression === undefined ? pieces : [await compressed(Buffer.concat(pieces))];
    const key = idempotencyHeader === false ? {} : { [idempotencyHeader]: `${this.#run}-${records.lane}-${records.sequence}-${records.count}` };
    const answer = await this.#client.send({ method, path: '', headers: { ...this.#headers, ...key }, body, signal });
    const { status } = answer;
    if (status >= 200 && status < 300) return [];
    if (retryOn === undefined ? isPassingStatus(status) : retryOn.includes(status)) throw busy(this.#client, answer);
    if (status === 413) throw new TooLarge(`the server takes no request of ${records.byteLength} bytes`);
    if (status !== 400 && status !== 422) {
      const hint = status === 401 || status === 403 ? ' Check the option auth.' : '';
      throw new MillraceError('ERR_MILLRACE_SINK', `${this.#name} answers with ${wordsOf(answer)}.${hint}`);
    }
    if (records.count === 1) return [{ record: 0, isRetriable: false, message: wordsOf(answer) }];
    const half = records.count >> 1;
    const first = await this.send(partOf(records, 0, half), signal);
    const second = await this.send(partOf(records, half, records.count), signal);
    return [...first, ...second.map((fault) => ({ ...fault, record: fault.record + half }))];
  }

  async close(): Promise<void> {
    this.#client.close();
  }
}

function partOf(records: Records, from: number, to: number): Records {
  const part = Array.from({ length: to - from }, (_, i) => records.record(from + i));
  return new Records(part, part, records.lane, records.sequence + from);
}
