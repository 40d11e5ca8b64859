/**
 * Exactly-once into a table that has no key. Rows wait in a table beside it, which is durable and which nobody reads.
 * `commit` moves them, empties it and notes the checkpoint, all in one transaction. So readers see a checkpoint at
 * once, and once. (A transaction that is held open until the decision would be lost with the server, and one that is
 * prepared for two phases is off by default and holds its locks when the job is gone. The price here is that rows are
 * written twice.)
 *
 *   millrace_commits   (job, sink) -> checkpoint, prepared, generation
 *   millrace_staged_<job and sink>_<generation>          the rows behind the checkpoint
 *   millrace_staged_<job and sink>_<generation>_lanes    how far each lane has come
 *
 * Each start has a generation of its own and drops the tables of the one before: a process that was replaced finds
 * its table gone. A request whose answer was lost is not stored twice, as the note of its lane says that it is there.
 */

import { createHash } from 'node:crypto';
import { MillraceError, type Schema, shown } from '../../core/index.ts';
import type { Connection, ServerError } from './connection.ts';
import type { Way } from './loader.ts';
import { quoted } from './options.ts';
import type { Table } from './table.ts';

export interface StagingOptions {
  /** Whose it is, as messages begin. */
  readonly name: string;
  readonly table: Table;
  readonly schema: Schema;
  readonly job: string;
  readonly sink: string;
  readonly lanes: number;
}

interface CommitRow {
  /** 64-bit numbers come as text. */
  readonly checkpoint: string;
  readonly prepared: string | null;
  readonly generation: number;
}

/** A row that was staged, and that the table refuses. */
export interface RefusedLate {
  readonly row: string;
  readonly message: string;
}

export class Staging implements Way {
  readonly #options: StagingOptions;
  readonly #commits: string;
  #generation = -1;

  constructor(options: StagingOptions) {
    this.#options = options;
    this.#commits = options.table.beside('millrace_commits');
  }

  /** Of its connections, by which a later process finds and ends them. */
  static applicationName(job: string, sink: string, table: string): string {
    return `millrace ${idOf(job, sink, table)}`;
  }

  /** Whether the table of commits knows this sink. */
  static async isKnown(connection: Connection, signal: AbortSignal, table: Table, job: string, sink: string): Promise<boolean> {
    const commits = table.beside('millrace_commits');
    const [found] = await connection.query(signal, 'SELECT to_regclass($1) IS NOT NULL AS there', [commits]);
    if (found?.there !== true) return false;
    return (await connection.query(signal, `SELECT 1 FROM ${commits} WHERE job = $1 AND sink = $2`, [job, sink])).length > 0;
  }

  /**
   * Takes the table over: ends the connections of the process before, settles what it left, and begins anew.
   *
   * @param checkpoint from which the job goes on; undefined: it is at-least-once from now on, and what was prepared stays
   */
  async recover(connection: Connection, signal: AbortSignal, checkpoint: number | undefined): Promise<RefusedLate[]> {
    const { job, sink, table } = this.#options;
    await this.#makeCommits(connection, signal);
    await this.#endOthers(connection, signal);
    await connection.query(signal, "BEGIN; SET LOCAL lock_timeout = '20s'");
    await connection.query(signal, `INSERT INTO ${this.#commits} (job, sink) VALUES ($1, $2) ON CONFLICT DO NOTHING`, [job, sink]);
    const { prepared, generation, checkpoint: committed } = await this.#locked(connection, signal);
    if (checkpoint !== undefined && Number(committed) > checkpoint) {
      await connection.query(signal, 'ROLLBACK');
      throw this.#isBehind(checkpoint, Number(committed));
    }
    const isDecided = prepared !== null && (checkpoint === undefined || Number(prepared) <= checkpoint);
    const refused = isDecided ? await this.#move(connection, signal, this.#staged(generation)) : [];
    await connection.query(signal, `DROP TABLE IF EXISTS ${this.#staged(generation)}, ${this.#lanes(generation)}`);
    const next = generation + 1;
    const at = checkpoint === undefined ? -1 : isDecided ? prepared : committed;
    await connection.query(signal, `UPDATE ${this.#commits} SET checkpoint = $3, prepared = NULL, generation = $4 WHERE job = $1 AND sink = $2`, [
      job,
      sink,
      at,
      next,
    ]);
    if (checkpoint !== undefined) {
      const notNull = await this.#notNull(connection, signal);
      await connection.query(
        signal,
        `CREATE TABLE ${this.#staged(next)} AS SELECT ${table.columns} FROM ${table.sql} WITH NO DATA;
         ${notNull.map((name) => `ALTER TABLE ${this.#staged(next)} ALTER COLUMN ${quoted(name)} SET NOT NULL;`).join(' ')}
         CREATE TABLE ${this.#lanes(next)} (lane integer PRIMARY KEY, next bigint NOT NULL);
         INSERT INTO ${this.#lanes(next)} SELECT lane, 0 FROM generate_series(0, ${this.#options.lanes - 1}) AS lane`,
      );
      this.#generation = next;
    }
    await connection.query(signal, 'COMMIT');
    return refused;
  }

  /** What was staged is of this checkpoint. */
  async prepare(connection: Connection, signal: AbortSignal, checkpoint: number): Promise<void> {
    const { job, sink } = this.#options;
    await connection.query(signal, 'BEGIN');
    await this.#mustBeOurs(connection, signal);
    const sql = `UPDATE ${this.#commits} SET prepared = $3 WHERE job = $1 AND sink = $2 AND checkpoint < $3 RETURNING 1`;
    if ((await connection.query(signal, sql, [job, sink, checkpoint])).length === 0)
      throw new MillraceError('ERR_MILLRACE_SINK', `${this.#options.name}: rows came for checkpoint ${checkpoint}, which was committed without them.`);
    await connection.query(signal, 'COMMIT');
  }

  /** Moves the rows of a checkpoint into the table. The same may come again. */
  async commit(connection: Connection, signal: AbortSignal, checkpoint: number): Promise<RefusedLate[]> {
    const { job, sink } = this.#options;
    await connection.query(signal, 'BEGIN');
    const { prepared } = await this.#mustBeOurs(connection, signal);
    const isThere = prepared !== null && Number(prepared) <= checkpoint;
    const refused = isThere ? await this.#move(connection, signal, this.#staged(this.#generation)) : [];
    if (isThere) {
      await connection.query(signal, `TRUNCATE ${this.#staged(this.#generation)}`);
      await connection.query(signal, `UPDATE ${this.#commits} SET checkpoint = prepared, prepared = NULL WHERE job = $1 AND sink = $2`, [job, sink]);
    }
    await connection.query(signal, 'COMMIT');
    return refused;
  }

  async begin(connection: Connection, signal: AbortSignal, { lane, sequence, count }: { lane: number; sequence: number; count: number }): Promise<boolean> {
    const lanes = this.#lanes(this.#generation);
    const moved = await connection.query(signal, `UPDATE ${lanes} SET next = $2 WHERE lane = $1 AND next = $3 RETURNING 1`, [lane, sequence + count, sequence]);
    if (moved.length > 0) return false;
    const [found] = await connection.query(signal, `SELECT next FROM ${lanes} WHERE lane = $1`, [lane]);
    if (Number(found?.next) === sequence + count) return true;
    throw new MillraceError(
      'ERR_MILLRACE_SINK',
      `${this.#options.name}: lane ${lane} is at row ${found?.next}, and rows ${sequence} to ${sequence + count} come.`,
    );
  }

  store(connection: Connection, signal: AbortSignal, chunks: readonly Uint8Array[]): Promise<void> {
    return connection.copy(signal, this.#options.table.copy(this.#staged(this.#generation)), chunks);
  }

  /** The table that rows wait in may be gone because another process has taken over. */
  async explain(connection: Connection, signal: AbortSignal, { code }: ServerError): Promise<unknown> {
    if (code !== '42P01') return undefined;
    const row = await this.#row(connection, signal, '');
    return row?.generation === this.#generation ? undefined : this.#fenced();
  }

  async #makeCommits(connection: Connection, signal: AbortSignal): Promise<void> {
    try {
      await connection.query(
        signal,
        `CREATE TABLE IF NOT EXISTS ${this.#commits} (job text, sink text, checkpoint bigint NOT NULL DEFAULT -1, prepared bigint,
         generation integer NOT NULL DEFAULT 0, PRIMARY KEY (job, sink))`,
      );
    } catch (error) {
      if (!['42P07', '23505'].includes((error as ServerError).code)) throw error;
    }
  }

  /** A process that is stopped, not dead, may be in the middle of a transaction, and hold what we need. */
  async #endOthers(connection: Connection, signal: AbortSignal): Promise<void> {
    const name = Staging.applicationName(this.#options.job, this.#options.sink, this.#options.table.sql);
    await connection.query(
      signal,
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND pid <> pg_backend_pid() AND usename = current_user AND datname = current_database()',
      [name],
    );
  }

  /**
   * Moves rows into the table. Where one of them is refused there, page by page and then row by row, on the server.
   */
  async #move(connection: Connection, signal: AbortSignal, staged: string): Promise<RefusedLate[]> {
    const { table } = this.#options;
    const insert = `INSERT INTO ${table.sql} (${table.columns}) SELECT ${table.columns} FROM ${staged}`;
    // Constraints that wait for the commit would not tell whose fault it is.
    await connection.query(signal, 'SAVEPOINT moved; SET CONSTRAINTS ALL IMMEDIATE');
    try {
      await connection.query(signal, insert);
      return [];
    } catch (error) {
      if (!/^(22|23|44|P0001|54000)/.test((error as ServerError).code ?? '')) throw error;
      await connection.query(signal, 'ROLLBACK TO SAVEPOINT moved; SET CONSTRAINTS ALL IMMEDIATE');
    }
    await connection.query(signal, 'CREATE TEMPORARY TABLE IF NOT EXISTS millrace_refused (line text, message text) ON COMMIT DELETE ROWS');
    await connection.query(
      signal,
      `DO $move$ DECLARE
         pages bigint := pg_relation_size('${staged.replaceAll("'", "''")}') / current_setting('block_size')::int;
         places tid[]; place tid; detail text;
       BEGIN
         FOR page IN 0 .. pages - 1 LOOP
           SELECT array_agg(ctid ORDER BY ctid) INTO places FROM ${staged}
             WHERE ctid = ANY (ARRAY(SELECT ('(' || page || ',' || item || ')')::tid FROM generate_series(1, current_setting('block_size')::int / 24) AS item));
           CONTINUE WHEN places IS NULL;
           BEGIN
             ${insert} WHERE ctid = ANY (places);
           EXCEPTION WHEN data_exception OR integrity_constraint_violation OR with_check_option_violation OR raise_exception OR program_limit_exceeded THEN
             FOREACH place IN ARRAY places LOOP
               BEGIN
                 ${insert} WHERE ctid = place;
               EXCEPTION WHEN data_exception OR integrity_constraint_violation OR with_check_option_violation OR raise_exception OR program_limit_exceeded THEN
                 GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
                 INSERT INTO millrace_refused SELECT row_to_json(staged)::text, SQLERRM || coalesce('. ' || nullif(detail, ''), '') || ' [' || SQLSTATE || ']'
                   FROM ${staged} AS staged WHERE ctid = place;
               END;
             END LOOP;
           END;
         END LOOP;
       END $move$`,
    );
    const refused = await connection.query(signal, 'SELECT line, message FROM millrace_refused');
    return refused.map(({ line, message }) => ({ row: line as string, message: message as string }));
  }

  async #notNull(connection: Connection, signal: AbortSignal): Promise<string[]> {
    const sql = 'SELECT attname AS name FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND attnotnull AND NOT attisdropped';
    const found = new Set((await connection.query(signal, sql, [this.#options.table.sql])).map(({ name }) => name as string));
    return this.#options.schema.fields.map(({ name }) => name).filter((name) => found.has(name));
  }

  async #locked(connection: Connection, signal: AbortSignal): Promise<CommitRow> {
    const row = await this.#row(connection, signal, 'FOR UPDATE');
    if (row === undefined) throw this.#fenced();
    return row;
  }

  async #mustBeOurs(connection: Connection, signal: AbortSignal): Promise<CommitRow> {
    const row = await this.#locked(connection, signal);
    if (row.generation === this.#generation) return row;
    throw this.#fenced();
  }

  async #row(connection: Connection, signal: AbortSignal, lock: 'FOR UPDATE' | ''): Promise<CommitRow | undefined> {
    const { job, sink } = this.#options;
    const sql = `SELECT checkpoint, prepared, generation FROM ${this.#commits} WHERE job = $1 AND sink = $2 ${lock}`;
    return (await connection.query(signal, sql, [job, sink]))[0] as CommitRow | undefined;
  }

  #staged(generation: number): string {
    const { job, sink, table } = this.#options;
    return table.beside(`millrace_staged_${idOf(job, sink, table.sql)}_${generation}`);
  }

  #lanes(generation: number): string {
    const { job, sink, table } = this.#options;
    return table.beside(`millrace_staged_${idOf(job, sink, table.sql)}_${generation}_lanes`);
  }

  #fenced(): MillraceError {
    const { name, job } = this.#options;
    return new MillraceError(
      'ERR_MILLRACE_FENCED',
      `${name}: another process writes the table for the pipeline ${shown(job)} now. This one ends, and writes nothing more.`,
    );
  }

  #isBehind(checkpoint: number, committed: number): MillraceError {
    const { name, job, sink } = this.#options;
    const from = checkpoint < 0 ? 'from nothing' : `from checkpoint ${checkpoint}`;
    return new MillraceError(
      'ERR_MILLRACE_CHECKPOINT',
      `${name}: the table has rows of this pipeline up to checkpoint ${committed}, which readers may have seen. The job resumes ${from}, so rows would come twice. Restore the newer checkpoint, or write to another table, or remove those rows and the line of job ${shown(job)}, sink ${shown(sink)} in ${this.#commits}.`,
    );
  }
}

/** Short enough for a name of PostgreSQL. */
function idOf(job: string, sink: string, table: string): string {
  return createHash('sha256')
    .update(JSON.stringify([job, sink, table]))
    .digest('hex')
    .slice(0, 16);
}
