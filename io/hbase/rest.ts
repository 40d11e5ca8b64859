/**
 * The coordinator's end: puts, many in a request, and deletes, one in each, as HBase's REST server takes no more.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { MillraceError, type Schema, SIGN, shown } from '../../core/index.ts';
import { type RecordFault, Records, Refused, refusalOf, TooLarge, type Transport } from '../delivery/index.ts';
import { busy, type HttpAnswer, type HttpClient, isPassingStatus, wordsOf } from '../http/index.ts';
import { DELETE, PUT } from './encode.ts';
import { keyOf, textOf } from './messages.ts';
import { cellColumns, type HBaseSinkOptions } from './options.ts';

const PROTOBUF = { 'content-type': 'application/x-protobuf', accept: 'application/json' };
const JSON_TYPE = { 'content-type': 'application/json', accept: 'application/json' };
const DELETES_AT_A_TIME = 8;
/** A put in the millisecond of a delete would be hidden by it. */
const BEHIND_DELETE_MS = 2;
/** The first that take row keys as base64: a path cannot name all. */
const DELETES_SINCE = [
  [2, 5, 7],
  [2, 6, 0],
] as const;

interface Numbered {
  /** Its place in the request. */
  readonly index: number;
  readonly bytes: Uint8Array;
}

export class Rest implements Transport {
  readonly #name: string;
  readonly #client: HttpClient;
  readonly #path: string;
  readonly textOf = textOf;

  constructor(name: string, client: HttpClient, { table }: HBaseSinkOptions) {
    this.#name = name;
    this.#client = client;
    this.#path = `/${pathOf(table)}`;
  }

  async send(records: Records, signal: AbortSignal): Promise<readonly RecordFault[]> {
    const all = Array.from({ length: records.count }, (_, index): Numbered => ({ index, bytes: records.record(index) }));
    if (all.every(({ bytes }) => bytes[0] === PUT)) return this.#put(all, signal, records.chunks);
    const faults: RecordFault[] = [];
    const taken: Numbered[] = [];
    for (const record of all) {
      const refusal = refusalOf(record.bytes);
      if (refusal === undefined) taken.push(record);
      else faults.push({ record: record.index, isRetriable: false, message: refusal.message });
    }
    // A delete takes what comes before it in the request along. Behind it only puts of its key are left.
    const deleted = new Map<string, Numbered>();
    for (const record of taken) if (record.bytes[0] === DELETE) deleted.set(keyOf(record.bytes).toString('latin1'), record);
    await this.#deleteAll([...deleted.values()], signal);
    const puts = taken.filter(
      ({ index, bytes }) => bytes[0] === PUT && (deleted.size === 0 || index > (deleted.get(keyOf(bytes).toString('latin1'))?.index ?? -1)),
    );
    return [...faults, ...(await this.#put(puts, signal))];
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  async #put(puts: readonly Numbered[], signal: AbortSignal, body: readonly Uint8Array[] = puts.map(({ bytes }) => bytes)): Promise<readonly RecordFault[]> {
    const [first] = puts;
    if (first === undefined) return [];
    // The last part of the path would be the row's key, if the body did not have all of them.
    const answer = await this.#client.send({ method: 'PUT', path: `${this.#path}/rows`, headers: PROTOBUF, body, signal });
    if (answer.status < 300) return [];
    if (answer.status === 413) throw new TooLarge(`the server takes no request of ${new Records(puts.map(({ bytes }) => bytes)).byteLength} bytes`);
    if (answer.status !== 400) throw this.#failure(answer);
    if (puts.length === 1) return [{ record: first.index, isRetriable: false, message: messageOf(answer) }];
    throw new Refused(messageOf(answer));
  }

  async #deleteAll(deletes: readonly Numbered[], signal: AbortSignal): Promise<void> {
    if (deletes.length === 0) return;
    let next = 0;
    const lane = async (): Promise<void> => {
      for (let one = deletes[next++]; one !== undefined; one = deletes[next++]) {
        const key = keyOf(one.bytes).toString('base64url');
        const answer = await this.#client.send({ method: 'DELETE', path: `${this.#path}/${key}?e=b64`, signal });
        if (answer.status >= 300) throw this.#failure(answer);
      }
    };
    await Promise.all(Array.from({ length: Math.min(DELETES_AT_A_TIME, deletes.length) }, lane));
    await sleep(BEHIND_DELETE_MS);
  }

  /** What ends the job, or is waited for. */
  #failure(answer: HttpAnswer): Error {
    if (isPassingStatus(answer.status)) return busy(this.#client, answer);
    return new MillraceError(
      'ERR_MILLRACE_SINK',
      `${this.#name} is not written to: ${this.#client.place} answers with status ${answer.status}: ${messageOf(answer)}.`,
    );
  }
}

/**
 * Checks that the server answers and takes our credentials, and that the table and its families are there.
 *
 * @throws MillraceError ERR_MILLRACE_SINK; Unavailable when no server answers
 */
export async function openTable(name: string, client: HttpClient, options: HBaseSinkOptions, schema: Schema, signal: AbortSignal): Promise<void> {
  const { table, createTable } = options;
  const refused = (message: string): MillraceError => new MillraceError('ERR_MILLRACE_SINK', `${name}: ${message}`);
  const path = `/${pathOf(table)}/schema`;
  const families = [...new Set(cellColumns(name, options, schema).map(({ family }) => family))];
  const ask = (): Promise<HttpAnswer> => client.send({ method: 'GET', path, headers: { accept: 'application/json' }, signal });
  let answer = await ask();
  if (answer.status === 404 && createTable !== undefined) {
    const attributes = createTable === true ? {} : createTable;
    const body = JSON.stringify({ name: table, ColumnSchema: families.map((family) => ({ name: family, ...attributes })) });
    const made = await client.send({ method: 'PUT', path, headers: JSON_TYPE, body, signal });
    if (isPassingStatus(made.status)) throw busy(client, made);
    if (made.status >= 300) throw refused(`the table ${shown(table)} cannot be made: status ${made.status}: ${messageOf(made)}.`);
    answer = await ask();
  }
  if (isPassingStatus(answer.status)) throw busy(client, answer);
  if (answer.status === 401 || answer.status === 403) {
    const hint = answer.status === 401 ? 'Check the option auth.' : 'Give the user the right to read and write it.';
    throw refused(`${client.place} refuses: ${wordsOf(answer)}. ${hint}`);
  }
  if (answer.status === 404)
    throw refused(
      `${client.place} has no table ${shown(table)}. Make it (create '${table}', ${families.map((family) => `'${family}'`).join(', ')}), or let the sink do so: createTable: true.`,
    );
  if (answer.status !== 200) throw refused(`${client.place} answers with ${wordsOf(answer)}. Is it a REST server of HBase?`);
  const { ColumnSchema: there = [] } = answer.json() as { ColumnSchema?: readonly { readonly name: string }[] };
  const missing = families.filter((family) => !there.some((one) => one.name === family));
  if (missing.length > 0)
    throw refused(
      `the table ${shown(table)} has no column family ${missing.map(shown).join(', ')}. It has ${there.map((one) => shown(one.name)).join(', ')}; alter '${table}', '${missing[0]}' adds one.`,
    );
  if (schema.indexOf(SIGN) >= 0) await checkDeletes(name, client, signal);
}

async function checkDeletes(name: string, client: HttpClient, signal: AbortSignal): Promise<void> {
  const answer = await client.send({ method: 'GET', path: '/version', headers: { accept: 'application/json' }, signal });
  if (isPassingStatus(answer.status)) throw busy(client, answer);
  const version = answer.status === 200 ? String((answer.json() as { Version?: unknown }).Version) : wordsOf(answer);
  const [major = 0, minor = 0, patch = 0] = version.split(/[.-]/).map(Number);
  const isSince = ([a, b, c]: readonly [number, number, number]): boolean => major === a && minor === b && patch >= c;
  if (major > 2 || (major === 2 && minor > 6) || DELETES_SINCE.some(isSince)) return;
  throw new MillraceError(
    'ERR_MILLRACE_SINK',
    `${name}: ${client.place} is HBase ${version}. Rows of a table that go are deleted by their keys as base64, which HBase takes since 2.5.7 and 2.6.0. Take changelog: 'retract' or 'append'.`,
  );
}

function pathOf(table: string): string {
  return encodeURIComponent(table).replace('%3A', ':');
}

/** The message of the exception that an answer has, without its place in the server's code. */
function messageOf(answer: HttpAnswer): string {
  const text = answer.text();
  const exception = /^(?:[\w.$]+(?:Exception|Error)): (.*)$/m.exec(text)?.[1];
  return exception?.trim().replace(/\.$/, '') ?? wordsOf(answer);
}
