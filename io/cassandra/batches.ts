/**
 * The coordinator's end: records as statements of unlogged batches. A batch has rows that one node owns, and so few
 * partitions that Cassandra takes it without a warning. Where it refuses a batch for what is in it, and does not say
 * which row it was, halves of it find out.
 */

import { MillraceError } from '../../core/index.ts';
import { type RecordFault, type Records, refusalOf, type Transport } from '../delivery/index.ts';
import { endClient, meaningOf, orAborted, type Statement, unavailable, wordsOf } from './driver.ts';
import { DELETE, VALUES_AT, valuesOf } from './encode.ts';
import type { CassandraSettings, CassandraSinkOptions } from './options.ts';
import { type Owner, Ring } from './ring.ts';
import { isThere, type OpenTable, type Statements, statementsFor } from './table.ts';

/** Batches under way of one request. */
const IN_FLIGHT = 32;
/** Of rows of one partition, which are one mutation. */
const PARTITION_BATCH_BYTES = 64 * 1_024;
const STATEMENTS_MAX = 1_000;
const MICROS = 1_000n;

interface NumberedStatement extends Statement {
  /** The place of its row in the request. */
  readonly record: number;
}

interface Batch {
  readonly owner: Owner;
  readonly statements: NumberedStatement[];
  bytes: number;
  partitions: number;
  /** The key of its last row, as it is in the record. */
  partition: Buffer;
}

export class Batches implements Transport {
  readonly #name: string;
  readonly #options: CassandraSinkOptions;
  readonly #settings: CassandraSettings;
  readonly #table: OpenTable;
  readonly #statements: Statements;
  readonly #ring: Ring;
  readonly #null: unknown;
  #lastMicros = 0n;

  constructor(name: string, options: CassandraSinkOptions, settings: CassandraSettings, table: OpenTable) {
    this.#name = name;
    this.#options = options;
    this.#settings = settings;
    this.#table = table;
    this.#statements = statementsFor(options, table.plan, settings);
    this.#ring = new Ring(table.client, options.keyspace);
    this.#null = options.nulls === 'skip' ? table.driver.types.unset : null;
  }

  async send(records: Records, signal: AbortSignal): Promise<readonly RecordFault[]> {
    const faults: RecordFault[] = [];
    const batches = this.#batchesOf(records, faults);
    let next = 0;
    let failure: unknown;
    const lane = async (): Promise<void> => {
      for (let batch = batches[next++]; batch !== undefined && failure === undefined; batch = batches[next++]) {
        signal.throwIfAborted();
        try {
          await this.#write(batch.owner, batch.statements, faults);
        } catch (error) {
          failure ??= error;
        }
      }
    };
    const all = Promise.all(Array.from({ length: Math.min(IN_FLIGHT, batches.length) }, lane));
    await orAborted(all, signal);
    if (failure !== undefined) throw failure;
    return faults;
  }

  textOf(record: Uint8Array): string {
    const refusal = refusalOf(record);
    if (refusal !== undefined) return refusal.row;
    const { columns } = this.#table.plan;
    const values = valuesOf(Buffer.from(record)).slice(0, columns.length);
    return JSON.stringify(
      Object.fromEntries(values.map((value, v) => [columns[v]?.name, value === undefined ? null : shownValue(value, columns[v]?.type ?? '')])),
    );
  }

  async close(): Promise<void> {
    await endClient(this.#table.client);
  }

  #batchesOf(records: Records, faults: RecordFault[]): readonly Batch[] {
    // A copy: the driver may still hold the bytes when this request has been given up and its memory is another's.
    const bytes = Buffer.concat(records.chunks, records.byteLength);
    const open = new Map<Owner, Batch>();
    const all: Batch[] = [];
    let at = 0;
    for (let record = 0; record < records.count; record++) {
      const given = records.record(record);
      const own = bytes.subarray(at, at + given.length);
      at += given.length;
      const refusal = refusalOf(own);
      if (refusal !== undefined) {
        faults.push({ record, isRetriable: false, message: refusal.message });
        continue;
      }
      const owner = this.#ring.ownerOf(own.readInt32BE(1));
      const partition = partitionOf(own, this.#table.plan.partitionKeys);
      let batch = open.get(owner);
      const isSame = batch?.partition.equals(partition) === true;
      if (batch === undefined || !this.#fits(batch, own.length, isSame)) {
        batch = { owner, statements: [], bytes: 0, partitions: 0, partition };
        open.set(owner, batch);
        all.push(batch);
      }
      if (batch.statements.length === 0 || !isSame) batch.partitions++;
      batch.partition = partition;
      batch.bytes += own.length;
      batch.statements.push(this.#statementOf(own, record));
    }
    return all;
  }

  #fits(batch: Batch, bytes: number, isSame: boolean): boolean {
    if (batch.statements.length >= STATEMENTS_MAX) return false;
    if (isSame && batch.partitions === 1) return batch.bytes + bytes <= PARTITION_BATCH_BYTES;
    const { batchPartitions, batchBytes } = this.#settings;
    return batch.bytes + bytes <= batchBytes && batch.partitions + (isSame ? 0 : 1) <= batchPartitions;
  }

  #statementOf(record: Buffer, index: number): NumberedStatement {
    const params: unknown[] = valuesOf(record);
    for (let p = 0; p < params.length; p++) params[p] ??= this.#null;
    if (this.#options.version === undefined) params.push(this.#now());
    if (record[0] !== DELETE) return { query: this.#statements.insert, params, record: index };
    return { query: this.#statements.delete, params: [params.at(-1), ...params.slice(0, -1)], record: index };
  }

  /** Microseconds that always grow: of two rows of one key, also in one batch, the later one stays. */
  #now(): Buffer {
    const clock = BigInt(Date.now()) * MICROS;
    this.#lastMicros = clock > this.#lastMicros ? clock : this.#lastMicros + 1n;
    const bytes = Buffer.allocUnsafe(8);
    bytes.writeBigInt64BE(this.#lastMicros);
    return bytes;
  }

  async #write({ routingKey }: Owner, statements: readonly NumberedStatement[], faults: RecordFault[]): Promise<void> {
    const { client } = this.#table;
    const [first] = statements as [NumberedStatement];
    const routing = routingKey === undefined ? {} : { routingKey };
    try {
      if (statements.length === 1) await client.execute(first.query, first.params, { prepare: true, isIdempotent: true });
      else await client.batch(statements, { prepare: true, logged: false, isIdempotent: true, ...routing });
    } catch (error) {
      if (!(await this.#isOfRows(error))) throw unavailable(error);
      if (statements.length === 1) {
        faults.push({ record: first.record, isRetriable: false, message: wordsOf(error) });
        return;
      }
      const half = statements.length >>> 1;
      await this.#write({ routingKey }, statements.slice(0, half), faults);
      await this.#write({ routingKey }, statements.slice(half), faults);
    }
  }

  /** @throws MillraceError ERR_MILLRACE_SINK for what will not be otherwise later */
  async #isOfRows(error: unknown): Promise<boolean> {
    const meaning = meaningOf(error);
    if (meaning === 'fatal') throw new MillraceError('ERR_MILLRACE_SINK', `${this.#name} is not written to: ${wordsOf(error)}.`, { cause: error });
    // A node that was started again prepares anew; one that cannot has lost the table.
    if (meaning === 'unprepared' && !(await isThere(this.#table.client, this.#options).catch(() => true)))
      throw new MillraceError('ERR_MILLRACE_SINK', `${this.#name} is not written to: the table is gone.`, { cause: error });
    return meaning === 'rows';
  }
}

/** The partition key as the record has it, with its lengths. */
function partitionOf(record: Buffer, partitionKeys: number): Buffer {
  let at = VALUES_AT;
  for (let key = 0; key < partitionKeys; key++) at += 4 + record.readInt32BE(at);
  return record.subarray(VALUES_AT, at);
}

function shownValue(value: Buffer, type: string): unknown {
  switch (type) {
    case 'boolean':
      return value[0] === 1;
    case 'tinyint':
    case 'smallint':
    case 'int':
      return value.readIntBE(0, value.length);
    case 'bigint':
      return value.readBigInt64BE().toString();
    case 'timestamp':
      return Number(value.readBigInt64BE());
    case 'float':
      return value.readFloatBE();
    case 'double':
      return value.readDoubleBE();
    case 'text':
    case 'varchar':
    case 'ascii':
      return value.toString();
    default:
      return value.toString('base64');
  }
}
