/**
 * Patience with a cluster. What fails for a passing reason (a broker restarts, a leader moves) is retried
 * until the time is up. A wait longer than a moment is reported, once per outage for all callers that wait
 * for the same cluster.
 */

import { MillraceError } from '../../../core/index.ts';
import { type Connection, describe, isPassing } from '../kafkajs/index.ts';

const PAUSE_MS_MIN = 20;
/** Longest time that a broker may be back before it is noticed. */
const PAUSE_MS_MAX = 500;
const SILENT_MS = 1_000;

export interface PatienceOptions {
  /** Whose patience it is: `kafka clicks`. */
  readonly name: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Receives what is waited for, and undefined when that is over. Without it a warning is printed. */
  readonly waiting?: ((what: string | undefined) => void) | undefined;
}

export class Patience {
  readonly #connection: Connection;
  readonly #options: PatienceOptions;
  /** Callers whose last attempt failed: since when, and how often. */
  readonly #failing = new Map<string, { readonly sinceMs: number; times: number }>();
  #isSaid = false;
  readonly #sleepers = new Set<() => void>();
  #isOver = false;

  constructor(connection: Connection, options: PatienceOptions) {
    this.#connection = connection;
    this.#options = options;
    options.signal.addEventListener('abort', () => this.end(), { once: true });
  }

  /** Ends all attempts: callers that sleep wake up and fail. */
  end(): void {
    this.#isOver = true;
    for (const wake of this.#sleepers) wake();
  }

  get isOver(): boolean {
    return this.#isOver || this.#options.signal.aborted;
  }

  /**
   * Tries until it works.
   *
   * @param what what cannot be done otherwise: `positions cannot be committed`
   * @throws MillraceError ERR_MILLRACE_BROKER when it is refused, or the time is up
   */
  async through<T>(what: string, attempt: () => Promise<T>): Promise<T> {
    const key = `${what} ${Math.trunc(performance.now() * 1e3)}`;
    try {
      for (;;) {
        try {
          return await attempt();
        } catch (error) {
          await this.sleep(this.failed(key, what, error));
        }
      }
    } finally {
      this.passed(key);
    }
  }

  /**
   * One attempt of `key` has failed. Returns how long to wait before the next, in ms.
   *
   * @param leftMs how long it may still go on, where another deadline than the patience's own applies
   * @throws MillraceError when there is to be no next attempt
   */
  failed(key: string, what: string, error: unknown, leftMs?: number): number {
    const { name } = this.#options;
    if (this.isOver) throw new MillraceError('ERR_MILLRACE_BROKER', `${name}: ${what}: the job has ended before a broker answered.`, { cause: error });
    const now = performance.now();
    const entry = this.#failing.get(key) ?? { sinceMs: now, times: 0 };
    this.#failing.set(key, entry);
    const forMs = now - entry.sinceMs;
    const left = leftMs ?? this.#options.timeoutMs - forMs;
    const mayPass = isPassing(error) && left > 0;
    if (mayPass) this.#connection.report?.retried(`${name}: ${what}`, describe(error).message);
    if (!mayPass) throw this.#connection.error(`${name}: ${what}`, error);
    if (forMs >= SILENT_MS) this.#say(error, Math.ceil(left / 1000));
    return Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** Math.min(entry.times++, 10), Math.max(1, left));
  }

  /** `key` has succeeded, or given up. */
  passed(key: string): void {
    if (!this.#failing.delete(key) || this.#failing.size > 0 || !this.#isSaid) return;
    this.#isSaid = false;
    this.#options.waiting?.(undefined);
  }

  sleep(ms: number): Promise<void> {
    if (this.isOver) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#sleepers.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.#sleepers.add(wake);
    });
  }

  #say(error: unknown, seconds: number): void {
    if (this.#isSaid) return;
    this.#isSaid = true;
    const { name, waiting } = this.#options;
    const what = `${name}: waiting for a Kafka broker at ${this.#connection.options.brokers.join(', ')}, for at most ${seconds} s more (${describe(error).message}).`;
    if (waiting === undefined) process.emitWarning(what, 'MillraceWarning');
    else waiting(what);
  }
}
