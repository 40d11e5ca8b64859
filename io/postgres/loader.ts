/**
 * Writes requests into the table, one connection a lane: by COPY, or with a key by COPY into a temporary table and one
 * statement that replaces and deletes. A request is one transaction. Where a row of it is refused, it is done again in
 * pieces, each behind a savepoint, until the refused rows are found: the server names the line of a bad value, and a
 * violated constraint is looked for by halves.
 */

import { type RecordFault, type Records, type Transport, Unavailable } from '../delivery/index.ts';
import { type Connection, failureOf, isOfRow, isServerError, type ServerError } from './connection.ts';

/** How records get where they are to go, within a transaction or as one of their own. */
export interface Way {
  /** Once for each connection. */
  setUp?(connection: Connection, signal: AbortSignal): Promise<void>;
  /** Records as one transaction. Undefined: several statements are needed, or a note beside them. */
  readonly alone?: (connection: Connection, signal: AbortSignal, chunks: readonly Uint8Array[]) => Promise<void>;
  /** Records within a transaction. */
  store(connection: Connection, signal: AbortSignal, chunks: readonly Uint8Array[], isAgain: boolean): Promise<void>;
  /** In the transaction, before anything is stored. True: this request was stored before. */
  begin?(connection: Connection, signal: AbortSignal, records: Records): Promise<boolean>;
  /** What is behind an error of the server that is none of a row's. */
  explain?(connection: Connection, signal: AbortSignal, error: ServerError): Promise<unknown>;
}

const LINE = /, line (\d+)/;

export class Loader implements Transport {
  readonly #name: string;
  readonly #place: string;
  readonly #connect: (signal: AbortSignal) => Promise<Connection>;
  readonly #way: Way;
  readonly #connections = new Map<number, Connection>();
  /** By lane: what was refused in the last transaction, whose end may not have been heard of. */
  readonly #faults = new Map<number, { readonly sequence: number; readonly faults: readonly RecordFault[] }>();

  constructor(name: string, place: string, connect: (signal: AbortSignal) => Promise<Connection>, way: Way) {
    this.#name = name;
    this.#place = place;
    this.#connect = connect;
    this.#way = way;
  }

  async send(records: Records, signal: AbortSignal): Promise<readonly RecordFault[]> {
    let connection: Connection | undefined;
    try {
      connection = await this.#connectionOf(records.lane, signal);
      return await this.#store(connection, records, signal);
    } catch (error) {
      const failure = await this.#explained(connection, signal, error);
      if (connection !== undefined && failure instanceof Unavailable) this.#drop(records.lane, connection);
      throw failure;
    }
  }

  async close(): Promise<void> {
    for (const connection of this.#connections.values()) connection.destroy();
    this.#connections.clear();
  }

  async #connectionOf(lane: number, signal: AbortSignal): Promise<Connection> {
    const known = this.#connections.get(lane);
    if (known !== undefined && !known.isOver) return known;
    const made = await this.#connect(signal);
    try {
      await this.#way.setUp?.(made, signal);
    } catch (error) {
      made.destroy();
      throw error;
    }
    this.#connections.set(lane, made);
    return made;
  }

  #drop(lane: number, connection: Connection): void {
    connection.destroy();
    if (this.#connections.get(lane) === connection) this.#connections.delete(lane);
  }

  async #explained(connection: Connection | undefined, signal: AbortSignal, error: unknown): Promise<unknown> {
    signal.throwIfAborted();
    if (connection !== undefined && !connection.isOver && isServerError(error)) {
      await connection.query(signal, 'ROLLBACK').catch(() => {});
      const known = await this.#way.explain?.(connection, signal, error).catch((failed: unknown) => failed);
      if (known !== undefined) return failureOf(this.#name, this.#place, known);
    }
    return failureOf(this.#name, this.#place, error);
  }

  async #store(connection: Connection, records: Records, signal: AbortSignal): Promise<readonly RecordFault[]> {
    const { alone } = this.#way;
    try {
      if (alone !== undefined) {
        await alone(connection, signal, records.chunks);
        return [];
      }
      await connection.query(signal, 'BEGIN');
      if ((await this.#way.begin?.(connection, signal, records)) === true) {
        await connection.query(signal, 'ROLLBACK');
        return this.#faultsOf(records);
      }
      await this.#way.store(connection, signal, records.chunks, false);
      await connection.query(signal, 'COMMIT');
      return [];
    } catch (error) {
      if (!isOfRow(error)) throw error;
      if (alone === undefined) await connection.query(signal, 'ROLLBACK');
      return this.#sift(connection, records, signal);
    }
  }

  /** What was refused of a request that was stored without our hearing of it. */
  #faultsOf({ lane, sequence }: Records): readonly RecordFault[] {
    const last = this.#faults.get(lane);
    return last?.sequence === sequence ? last.faults : [];
  }

  async #sift(connection: Connection, records: Records, signal: AbortSignal): Promise<readonly RecordFault[]> {
    // Constraints that wait for the commit would not tell whose fault it is.
    await connection.query(signal, 'BEGIN; SET CONSTRAINTS ALL IMMEDIATE');
    if ((await this.#way.begin?.(connection, signal, records)) === true) {
      await connection.query(signal, 'ROLLBACK');
      return this.#faultsOf(records);
    }
    const faults: RecordFault[] = [];
    const pieces = Array.from({ length: records.count }, (_, i) => records.record(i));
    let from = 0;
    let size = Math.max(1, pieces.length >> 1);
    while (from < pieces.length) {
      const to = Math.min(pieces.length, from + size);
      await connection.query(signal, 'SAVEPOINT piece');
      try {
        await this.#way.store(connection, signal, pieces.slice(from, to), true);
        await connection.query(signal, 'RELEASE SAVEPOINT piece');
        from = to;
        size *= 2;
      } catch (error) {
        if (!isOfRow(error)) throw error;
        await connection.query(signal, 'ROLLBACK TO SAVEPOINT piece; RELEASE SAVEPOINT piece');
        const line = Number(LINE.exec(error.where ?? '')?.[1] ?? 0);
        const isKnown = line >= 1 && line <= to - from;
        if (to - from === 1 || (isKnown && line === 1)) {
          faults.push({ record: from, isRetriable: false, message: wordsOf(error) });
          from++;
        } else size = isKnown ? line - 1 : (to - from) >> 1;
      }
    }
    this.#faults.set(records.lane, { sequence: records.sequence, faults });
    await connection.query(signal, 'COMMIT');
    return faults;
  }
}

/** What the server says of a row. */
export function wordsOf({ message, detail, where, code }: ServerError): string {
  const column = /column ([^:]+):/.exec(where ?? '')?.[1];
  return `${message}${detail === undefined ? '' : `. ${detail}`}${column === undefined ? '' : ` (column ${column})`} [${code}]`;
}
