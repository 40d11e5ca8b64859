/**
 * The circuit of a delivery: closed while the server answers. When it fails, the lanes stop sending, one of
 * them tries again after a pause that grows, and all go on when that try succeeds (Nygard, "Release It!"). So
 * a server that comes back is not met by every lane at once. An outage longer than a moment is reported, and
 * one longer than the patience ends the job.
 */

import { MillraceError } from '../../core/index.ts';
import type { Unavailable } from './transport.ts';

const PAUSE_MS_MIN = 50;
const PAUSE_MS_MAX = 5_000;
const SILENT_MS = 1_000;
const DOUBLINGS_MAX = 10;

export interface CircuitOptions {
  /** Whose it is, and where: `elasticsearch clicks at http://127.0.0.1:9200`. */
  readonly name: string;
  /** How long an outage may last, ms. */
  readonly patienceMs: number;
  /** The option that says so. Default: deliveryTimeout. */
  readonly option?: string;
  readonly signal: AbortSignal;
  /** Receives what is waited for, and undefined when that is over. */
  readonly waiting?: ((what: string | undefined) => void) | undefined;
}

export class Circuit {
  readonly #options: CircuitOptions;
  #sinceMs: number | undefined;
  #failures = 0;
  #nextTryMs = 0;
  #isTrying = false;
  #isSaid = false;
  readonly #sleepers = new Set<() => void>();

  constructor(options: CircuitOptions) {
    this.#options = options;
    options.signal.addEventListener('abort', this.#wakeAll, { once: true });
  }

  /** It is not used any more. */
  close(): void {
    this.#options.signal.removeEventListener('abort', this.#wakeAll);
  }

  get isOpen(): boolean {
    return this.#sinceMs !== undefined;
  }

  /** Resolves when the caller may send. It has to tell then how that ended. */
  async enter(): Promise<void> {
    const { signal } = this.#options;
    for (;;) {
      signal.throwIfAborted();
      if (this.#sinceMs === undefined) return;
      const pauseMs = this.#isTrying ? Number.POSITIVE_INFINITY : this.#nextTryMs - performance.now();
      if (pauseMs <= 0) {
        this.#isTrying = true;
        return;
      }
      await this.#sleep(pauseMs);
    }
  }

  succeeded(): void {
    if (this.#sinceMs === undefined) return;
    this.#sinceMs = undefined;
    this.#failures = 0;
    this.#isTrying = false;
    if (this.#isSaid) this.#options.waiting?.(undefined);
    this.#isSaid = false;
    this.#wakeAll();
  }

  /** @throws MillraceError ERR_MILLRACE_SINK when the patience is at its end */
  failed(error: Unavailable): void {
    const now = performance.now();
    this.#sinceMs ??= now;
    const { name, patienceMs, option = 'deliveryTimeout' } = this.#options;
    const leftMs = patienceMs - (now - this.#sinceMs);
    if (leftMs <= 0) {
      this.#wakeAll();
      throw new MillraceError('ERR_MILLRACE_SINK', `${name}: ${error.message}. It was tried for ${patienceMs} ms (${option}).`, { cause: error });
    }
    // Lanes that were on their way when it began have failed of the same thing.
    if (this.#isTrying || this.#failures === 0) {
      const growing = Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** Math.min(this.#failures++, DOUBLINGS_MAX));
      // Several processes that lost one server do not come back to it at the same moment.
      const spread = growing * (0.5 + ((process.pid * 7_919 + this.#failures * 104_729) % 1_000) / 2_000);
      this.#nextTryMs = now + Math.min(Math.max(spread, error.pauseMs ?? 0), Math.max(1, leftMs));
    }
    this.#isTrying = false;
    if (now - this.#sinceMs >= SILENT_MS) this.#say(error, leftMs);
    this.#wakeAll();
  }

  #say(error: Unavailable, leftMs: number): void {
    if (this.#isSaid) return;
    this.#isSaid = true;
    const { name, waiting } = this.#options;
    const what = `${name}: waiting for the server, for at most ${Math.ceil(leftMs / 1_000)} s more (${error.message}).`;
    if (waiting === undefined) process.emitWarning(what, 'MillraceWarning');
    else waiting(what);
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#sleepers.delete(wake);
        resolve();
      };
      const timer = Number.isFinite(ms) ? setTimeout(wake, ms) : undefined;
      this.#sleepers.add(wake);
    });
  }

  readonly #wakeAll = (): void => {
    for (const wake of [...this.#sleepers]) wake();
  };
}
