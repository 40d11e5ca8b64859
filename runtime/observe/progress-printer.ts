/**
 * Prints progress for a person (one line, which is overwritten on a terminal), or as JSON lines. It prints to
 * stderr, so that results stay clean.
 */

import type { Progress } from './progress.ts';

const SPARSE_MS = 2_000;

/** Where the lines go: a stream of Node's, or what has its `write`. */
export interface PrintTarget {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

export class ProgressPrinter {
  readonly #form: 'text' | 'json';
  readonly #out: PrintTarget;
  #lastAt = 0;

  constructor(form: 'text' | 'json', out: PrintTarget = process.stderr) {
    this.#form = form;
    this.#out = out;
  }

  /** What the job reads again, if anything. */
  start({ pipeline, readAgain }: Progress): void {
    if (this.#form === 'json' || readAgain === 0) return;
    const what =
      readAgain === 'all'
        ? 'everything is read from the beginning, as by every run: it has state that never closes, so that no position can be committed'
        : `${grouped(readAgain)} rows are read again: their windows were open when the last run stopped`;
    this.#out.write(`${pipeline}: ${what}\n`);
  }

  /** A line for a person, beside the progress. */
  warn(message: string): void {
    if (this.#form === 'json') this.#out.write(`${JSON.stringify({ warning: message })}\n`);
    else this.#out.write(`${this.#out.isTTY ? '\r\x1b[2K' : ''}${message}\n`);
  }

  show(progress: Progress): void {
    if (this.#form === 'json') {
      this.#out.write(`${JSON.stringify(plain(progress))}\n`);
    } else if (this.#out.isTTY) {
      this.#out.write(`\r\x1b[2K${line(progress)}`);
    } else if (performance.now() - this.#lastAt >= SPARSE_MS) {
      this.#lastAt = performance.now();
      this.#out.write(`${line(progress)}\n`);
    }
  }

  /** The last line, and what the ledger holds. */
  end(progress: Progress): void {
    if (this.#form === 'json') {
      this.#out.write(`${JSON.stringify(plain(progress))}\n`);
      return;
    }
    this.#out.write(`${this.#out.isTTY ? '\r\x1b[2K' : ''}${line(progress)}\n`);
    for (const [reason, count] of Object.entries(progress.ledger)) if (count > 0) this.#out.write(`  ${grouped(count)} rows ${reason}\n`);
    for (const sample of progress.samples.slice(0, 5))
      this.#out.write(`  ${sample.reason}: ${sample.source}, partition ${sample.partition}, offset ${sample.offset}: ${sample.message}\n`);
  }
}

function line(progress: Progress): string {
  const watermark = Number.isFinite(progress.watermark)
    ? new Date(progress.watermark).toISOString().replace('.000Z', 'Z')
    : progress.watermark > 0
      ? 'end'
      : '-';
  const state = progress.state === 'running' || progress.state === 'stopped' ? '' : `, ${progress.state}`;
  const rate = progress.rowsPerSecondNow > 0 ? progress.rowsPerSecondNow : progress.rowsPerSecond;
  return `${progress.pipeline}: ${grouped(progress.rowsIn)} rows in, ${grouped(progress.rowsOut)} out, ${grouped(Math.round(rate))} rows/s, watermark ${watermark}, lag ${progress.lag === undefined ? 'unknown' : grouped(progress.lag)}${state}`;
}

function plain(progress: Progress): unknown {
  return { ...progress, watermark: Number.isFinite(progress.watermark) ? progress.watermark : null, lag: progress.lag ?? null };
}

/** 1234567 as 1,234,567, whatever the locale. */
export function grouped(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}
