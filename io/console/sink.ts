/**
 * `stdout()`: prints the rows of each epoch when it is committed, as a table for people or as JSON lines for
 * programs.
 */

import type { Writable } from 'node:stream';
import { type AnyRow, checkOptionNames, MillraceError, type Schema, shown } from '../../core/index.ts';
import { ArrowBlockReader, arrowSinkEncoder } from '../arrow-blocks.ts';
import { json } from '../json.ts';
import { lineSinkEncoder } from '../line-encoder.ts';
import { type Changelog, type ChangelogSink, changelogOf, type SinkBlock, type SinkWriter } from '../sink.ts';
import { table } from './table.ts';

export interface StdoutOptions {
  /** Most rows of an epoch to print; the rest are counted in a line. Default 20 for a table, all for json. */
  readonly rows?: number;
  /** Default `table`. */
  readonly format?: 'table' | 'json';
  /** How rows of a table come: see {@link Changelog}. Default: as fits the table. */
  readonly changelog?: Changelog;
  /** Where to print instead of the standard output. */
  readonly stream?: Writable;
}

/** The part of an epoch that waits to be printed. */
interface Pending {
  text: string;
  rows: AnyRow[];
  rowCount: number;
  printedCount: number;
}

const ROWS_DEFAULT = 20;

/** At-least-once: after a failure an epoch may be printed again. A job that is exactly-once cannot have it. */
export function stdout(options: StdoutOptions = {}): ChangelogSink {
  checkOptionNames('stdout', options, { rows: true, format: true, changelog: true, stream: true });
  const { format = 'table', stream } = options;
  const rowsMax = options.rows ?? (format === 'table' ? ROWS_DEFAULT : Number.POSITIVE_INFINITY);
  if (format !== 'table' && format !== 'json')
    throw new MillraceError('ERR_MILLRACE_OPTION', `stdout: format is ${shown(format)}; it must be 'table' or 'json'.`);
  if (!(rowsMax >= 0)) throw new MillraceError('ERR_MILLRACE_OPTION', `stdout: rows is ${shown(rowsMax)}; it must be a number of at least 0.`);
  const lines = json();
  return {
    name: 'console',
    delivery: 'at-least-once',
    changelog: changelogOf('stdout', options.changelog),
    check: () => {},
    open: async ({ schema }) => new ConsoleWriter(schema, format, rowsMax, stream ?? process.stdout),
    encoder: (context) => (format === 'json' ? lineSinkEncoder(context, lines) : arrowSinkEncoder(context)),
  };
}

class ConsoleWriter implements SinkWriter {
  readonly info = { partitionCount: 1 };
  readonly #schema: Schema;
  readonly #format: 'table' | 'json';
  readonly #rowsMax: number;
  readonly #stream: Writable;
  readonly #reader: ArrowBlockReader;
  readonly #epochs = new Map<number, Pending>();

  constructor(schema: Schema, format: 'table' | 'json', rowsMax: number, stream: Writable) {
    this.#schema = schema;
    this.#format = format;
    this.#rowsMax = rowsMax;
    this.#stream = stream;
    this.#reader = new ArrowBlockReader(schema);
  }

  async write(block: SinkBlock): Promise<void> {
    let pending = this.#epochs.get(block.epoch);
    if (pending === undefined) this.#epochs.set(block.epoch, (pending = { text: '', rows: [], rowCount: 0, printedCount: 0 }));
    pending.rowCount += block.rowCount;
    const wanted = this.#rowsMax - pending.printedCount;
    if (wanted <= 0) return;
    if (this.#format === 'json') {
      // A copy: TextDecoder and Buffer's toString take no shared memory.
      pending.text += firstLines(Buffer.from(block.bytes).toString('utf8'), block.rowCount, wanted);
    } else {
      let left = wanted;
      for (const batch of this.#reader.read(block)) {
        if (left <= 0) break;
        const rows = batch.slice(0, Math.min(left, batch.rowCount)).toRows();
        for (const row of rows) pending.rows.push(row);
        left -= rows.length;
      }
    }
    pending.printedCount += Math.min(wanted, block.rowCount);
  }

  async commit(epoch: number): Promise<void> {
    const pending = this.#epochs.get(epoch);
    if (pending === undefined) return;
    this.#epochs.delete(epoch);
    if (this.#format === 'json') return this.#print(pending.text);
    const more = pending.rowCount - pending.printedCount;
    const head = `epoch ${epoch}: ${pending.rowCount} ${pending.rowCount === 1 ? 'row' : 'rows'}\n`;
    return this.#print(`${head}${pending.rows.length > 0 ? table(this.#schema, pending.rows) : ''}${more > 0 ? `... ${more} more\n` : ''}\n`);
  }

  async close(): Promise<void> {}

  #print(text: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#stream.write(text, (cause) => {
        if (cause) reject(new MillraceError('ERR_MILLRACE_SINK', `The console cannot be written to: ${cause.message}.`, { cause }));
        else resolve();
      });
    });
  }
}

function firstLines(text: string, lineCount: number, wanted: number): string {
  if (lineCount <= wanted) return text;
  let end = 0;
  for (let i = 0; i < wanted; i++) end = text.indexOf('\n', end) + 1;
  return text.slice(0, end);
}
