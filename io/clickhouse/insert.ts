/** The coordinator's end: one INSERT a request, over HTTP, and what its answer says. */

import { randomUUID } from 'node:crypto';
import { MillraceError } from '../../core/index.ts';
import { type RecordFault, type Records, TooLarge, type Transport, Unavailable } from '../delivery/index.ts';
import { busy, type HttpAnswer, type HttpClient, isPassingStatus, wordsOf } from '../http/index.ts';

const CODE = /Code: (\d+)/;
const ROW = /\(at row (\d+)\)/;
const WORDS_MAX = 300;
/**
 * Time is up, too many queries or parts, the network, ZooKeeper, memory, a full disk, a replica that only reads or is alone.
 */
const PASSING: ReadonlySet<number> = new Set([159, 202, 203, 209, 210, 225, 236, 241, 242, 243, 252, 285, 319, 394, 425, 439, 573, 999]);
/** A value that does not fit: text, numbers, times, sizes, nulls, enums, constraints. */
const OF_ROW: ReadonlySet<number> = new Set([6, 25, 26, 27, 33, 36, 38, 41, 43, 49, 53, 69, 72, 117, 131, 321, 349, 376, 407, 436, 469, 691]);

export interface ServerFacts {
  readonly version: string;
  /** Settings that it knows, of those that matter. */
  readonly settings: ReadonlySet<string>;
}

/** Asks for rows as JSON. */
export async function ask<R>(name: string, client: HttpClient, database: string | undefined, query: string, signal: AbortSignal): Promise<R[]> {
  const answer = await client.send({ method: 'POST', path: pathOf({ ...databaseOf(database), query: `${query} FORMAT JSON` }), body: '', signal });
  if (answer.status === 200) return (answer.json() as { data: R[] }).data;
  throw failureOf(name, client, answer);
}

/** Has something done that has no answer. */
export async function tell(name: string, client: HttpClient, database: string | undefined, query: string, signal: AbortSignal): Promise<void> {
  const answer = await client.send({ method: 'POST', path: pathOf({ ...databaseOf(database), query }), body: '', signal });
  if (answer.status !== 200) throw failureOf(name, client, answer);
}

export function databaseOf(database: string | undefined): Record<string, string> {
  return database === undefined ? {} : { database };
}

function pathOf(query: Record<string, string>): string {
  return `/?${new URLSearchParams(query)}`;
}

export class Inserts implements Transport {
  readonly #name: string;
  readonly #client: HttpClient;
  readonly #query: Record<string, string>;
  readonly #hasToken: boolean;
  readonly #run = randomUUID();

  /** @param insert without its rows: `INSERT INTO t (a, b) FORMAT TabSeparated` */
  constructor(
    name: string,
    client: HttpClient,
    database: string | undefined,
    insert: string,
    { settings }: ServerFacts,
    own: Readonly<Record<string, string>>,
  ) {
    this.#name = name;
    this.#client = client;
    this.#hasToken = settings.has('insert_deduplication_token');
    // Without a token the server tells blocks apart by their rows: it would drop the second of two that are the same.
    const dedup: Record<string, string> = this.#hasToken || !settings.has('insert_deduplicate') ? {} : { insert_deduplicate: '0' };
    this.#query = { ...databaseOf(database), ...dedup, ...own, query: insert };
  }

  async send(records: Records, signal: AbortSignal): Promise<readonly RecordFault[]> {
    // A block that is refused is not stored at all. So the rows that are left go together, once.
    const faults: RecordFault[] = [];
    const left = Array.from({ length: records.count }, (_, record) => record);
    let chunks = records.chunks;
    while (left.length > 0) {
      const token = `${this.#run}-${records.lane}-${records.sequence}-${left.length}`;
      const answer = await this.#insert(chunks, token, signal);
      if (answer.status === 200) return faults;
      const text = answer.text();
      const code = Number(CODE.exec(text)?.[1] ?? -1);
      if (answer.status === 413) throw new TooLarge(`the server takes no request of ${records.byteLength} bytes`);
      if (!OF_ROW.has(code)) throw failureOf(this.#name, this.#client, answer);
      const row = Number(ROW.exec(text)?.[1] ?? 0);
      if (row >= 1 && row <= left.length) faults.push({ record: left.splice(row - 1, 1)[0] as number, isRetriable: false, message: shortWords(text) });
      else return [...faults, ...(await this.#byHalves(records, left, token, text, signal))];
      chunks = left.map((record) => records.record(record));
    }
    return faults;
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  #insert(body: readonly Uint8Array[], token: string, signal: AbortSignal): Promise<HttpAnswer> {
    const query = this.#hasToken ? { ...this.#query, insert_deduplication_token: token } : this.#query;
    return this.#client.send({ method: 'POST', path: pathOf(query), body, signal });
  }

  /** The server does not say which row it is. */
  async #byHalves(records: Records, left: readonly number[], token: string, words: string, signal: AbortSignal): Promise<RecordFault[]> {
    if (left.length === 1) return [{ record: left[0] as number, isRetriable: false, message: shortWords(words) }];
    const faults: RecordFault[] = [];
    for (const [i, half] of [left.slice(0, left.length >> 1), left.slice(left.length >> 1)].entries()) {
      const answer = await this.#insert(
        half.map((record) => records.record(record)),
        `${token}/${i}`,
        signal,
      );
      if (answer.status === 200) continue;
      const text = answer.text();
      if (!OF_ROW.has(Number(CODE.exec(text)?.[1] ?? -1))) throw failureOf(this.#name, this.#client, answer);
      faults.push(...(await this.#byHalves(records, half, `${token}/${i}`, text, signal)));
    }
    return faults;
  }
}

function failureOf(name: string, client: HttpClient, answer: HttpAnswer): Error {
  const code = Number(CODE.exec(answer.text())?.[1] ?? -1);
  if (PASSING.has(code)) return new Unavailable(`${client.place} says: ${shortWords(answer.text())}`);
  if (code < 0 && isPassingStatus(answer.status)) return busy(client, answer);
  const hint = [192, 193, 194, 516].includes(code) || answer.status === 401 || answer.status === 403 ? ' Check the option auth.' : '';
  return new MillraceError('ERR_MILLRACE_SINK', `${name}: ${client.place} refuses: ${code < 0 ? wordsOf(answer) : shortWords(answer.text())}.${hint}`);
}

/** Its first line, without the names of classes. */
function shortWords(text: string): string {
  const line = (text.split('\n').find((one) => one.trim() !== '') ?? '')
    .replace('e.displayText() = ', '')
    .replace(/, e\.what\(\).*/, '')
    .replace(/DB::Exception: /g, '')
    .trim();
  return line.length > WORDS_MAX ? `${line.slice(0, WORDS_MAX - 3)}...` : line;
}
