/**
 * Rows that a server refuses for what is in them. They are told to the job, which counts them, and appended to
 * a file of dead letters where the sink has a folder for them.
 */

import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { MillraceError, shownPath } from '../../core/index.ts';
import type { SinkContext } from '../sink.ts';
import type { DeliverySettings } from './options.ts';

const RECORD_SHOWN_MAX = 300;

export interface Refusal {
  readonly epoch: number;
  readonly unit: number;
  readonly record: Uint8Array;
  /** The server's own words. */
  readonly message: string;
}

export class Refusals {
  readonly #name: string;
  readonly #policy: 'ledger' | 'fail';
  readonly #file: string | undefined;
  readonly #tell: SinkContext['refused'];
  readonly #textOf: (record: Uint8Array) => string;
  #handle: FileHandle | undefined;
  #isDirty = false;
  count = 0;

  /**
   * @param name of the sink, and where it writes
   * @param textOf gives a record as text
   */
  constructor(name: string, pipeline: string, settings: DeliverySettings, tell: SinkContext['refused'], textOf = asText) {
    this.#name = name;
    this.#policy = settings.refused;
    this.#tell = tell;
    this.#textOf = textOf;
    this.#file = settings.deadLetters === undefined ? undefined : join(resolve(settings.deadLetters), `${pipeline.replace(/[^\w.-]/g, '_')}.jsonl`);
  }

  /** @throws MillraceError ERR_MILLRACE_SINK where a refused row ends the job */
  async add(refusals: readonly Refusal[]): Promise<void> {
    const [first] = refusals;
    if (first === undefined) return;
    const wordsOf = ({ record, message }: Refusal): string => `${this.#name} refuses a row: ${message}. The row: ${shownText(this.#textOf(record))}`;
    if (this.#policy === 'fail') {
      throw new MillraceError(
        'ERR_MILLRACE_SINK',
        `${wordsOf(first)}. Mend the row, or let such rows be counted with refused: 'ledger' (and kept with deadLetters).`,
      );
    }
    await this.#keep(refusals);
    this.count += refusals.length;
    for (const refusal of refusals) this.#tell?.({ epoch: refusal.epoch, unit: refusal.unit, message: wordsOf(refusal) });
  }

  /** Makes dead letters durable. */
  async sync(): Promise<void> {
    if (!this.#isDirty) return;
    this.#isDirty = false;
    await this.#handle?.datasync();
  }

  async close(): Promise<void> {
    await this.#handle?.close();
    this.#handle = undefined;
  }

  async #keep(refusals: readonly Refusal[]): Promise<void> {
    const file = this.#file;
    if (file === undefined) return;
    const at = new Date().toISOString();
    const lines = refusals.map(({ epoch, record, message }) => `${JSON.stringify({ at, sink: this.#name, epoch, message, record: this.#textOf(record) })}\n`);
    try {
      if (this.#handle === undefined) {
        await mkdir(join(file, '..'), { recursive: true });
        this.#handle = await open(file, 'a');
      }
      this.#isDirty = true;
      await this.#handle.appendFile(lines.join(''));
    } catch (cause) {
      throw new MillraceError('ERR_MILLRACE_FILE', `${this.#name}: the dead letters cannot be written to ${shownPath(file)}: ${(cause as Error).message}.`, {
        cause,
      });
    }
  }
}

function asText(record: Uint8Array): string {
  return Buffer.from(record).toString('utf8').trimEnd();
}

function shownText(text: string): string {
  return text.length > RECORD_SHOWN_MAX ? `${text.slice(0, RECORD_SHOWN_MAX - 3)}...` : text;
}
