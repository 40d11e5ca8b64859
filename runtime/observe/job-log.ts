/**
 * The log of a job. Each line goes to the user's logger, if there is one, with the pipeline's name; the newest are
 * kept. No line shows a secret. A logger that throws does not disturb the job: that is said once, as a warning of
 * the process.
 */

import { dataWithoutSecrets, type Logger, type LogLevel, withoutSecrets } from '../../core/index.ts';
import { Recent } from './recent.ts';

export interface LogLine {
  /** ms since 1970. */
  readonly atMs: number;
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

const LINES_KEPT = 500;

export class JobLog implements Logger {
  /** Lines so far, by level. */
  readonly counts: Record<LogLevel, number> = { debug: 0, info: 0, warn: 0, error: 0 };
  /** The pipeline's name. */
  readonly pipeline: string;
  readonly #logger: Logger | undefined;
  readonly #recent = new Recent<LogLine>(LINES_KEPT);
  #hasThrown = false;
  /** Gets every line that is kept: all but those at level debug. */
  onLine: ((line: LogLine) => void) | undefined;

  constructor(pipeline: string, logger: Logger | undefined) {
    this.pipeline = withoutSecrets(pipeline);
    this.#logger = logger;
  }

  /** Whether somebody reads it as it is written. */
  get isHeard(): boolean {
    return this.#logger !== undefined;
  }

  /** The newest lines, the oldest of them first. */
  get lines(): LogLine[] {
    return this.#recent.all;
  }

  debug(fields: object, message: string): void {
    this.#say('debug', fields, message);
  }

  info(fields: object, message: string): void {
    this.#say('info', fields, message);
  }

  warn(fields: object, message: string): void {
    this.#say('warn', fields, message);
  }

  error(fields: object, message: string): void {
    this.#say('error', fields, message);
  }

  #say(level: LogLevel, fields: object, message: string): void {
    this.counts[level]++;
    if (level === 'debug' && this.#logger === undefined) return;
    const line: LogLine = { atMs: Date.now(), level, message: withoutSecrets(message), fields: dataWithoutSecrets(fields) as Record<string, unknown> };
    if (level !== 'debug') {
      this.#recent.push(line);
      this.onLine?.(line);
    }
    try {
      this.#logger?.[level]({ pipeline: this.pipeline, ...line.fields }, line.message);
    } catch (error) {
      if (this.#hasThrown) return;
      this.#hasThrown = true;
      const why = error instanceof Error ? error.message : String(error);
      process.emitWarning(
        withoutSecrets(`The logger of the pipeline ${this.pipeline} throws: ${why}. The job goes on, without those lines.`),
        'MillraceWarning',
      );
    }
  }
}
