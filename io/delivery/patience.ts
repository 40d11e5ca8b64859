/**
 * Calls of a server, each tried until it answers: one that is away or busy is waited for, one that takes too long is
 * tried again, and an outage that outlasts the patience ends the job. All calls share one circuit.
 */

import type { SinkContext } from '../sink.ts';
import { Circuit } from './circuit.ts';
import { withDeadline } from './deadline.ts';
import type { DeliverySettings } from './options.ts';
import { Unavailable } from './transport.ts';

export type PatienceSettings = Pick<DeliverySettings, 'deliveryTimeoutMs' | 'requestTimeoutMs'>;

/** What was called so far. */
export interface CallCounts {
  readonly requests: number;
  readonly retries: number;
  readonly inFlight: number;
  readonly seconds: number;
  readonly isWaiting: boolean;
}

/** How calls are made. */
export interface Calls {
  call<T>(attempt: (signal: AbortSignal, tries: number) => Promise<T>): Promise<T>;
}

/** One try each, not for long, whether the job goes on or not: for what is tidied up at its end. */
export function briefly(ms: number): Calls {
  return { call: (attempt) => attempt(AbortSignal.timeout(ms), 0) };
}

export class Patience implements Calls {
  readonly #circuit: Circuit;
  readonly #requestTimeoutMs: number;
  readonly #signal: AbortSignal;
  #requests = 0;
  #retries = 0;
  #inFlight = 0;
  #seconds = 0;

  /** @param name whose calls they are, and where */
  constructor(name: string, { deliveryTimeoutMs, requestTimeoutMs }: PatienceSettings, { signal, waiting }: Pick<SinkContext, 'signal' | 'waiting'>) {
    this.#circuit = new Circuit({ name, patienceMs: deliveryTimeoutMs, signal, waiting });
    this.#requestTimeoutMs = requestTimeoutMs;
    this.#signal = signal;
  }

  /**
   * Tries until it works.
   *
   * @param attempt is told how often it was tried before, as what a failed attempt did is not known
   * @throws MillraceError ERR_MILLRACE_SINK when the patience is at its end; what `attempt` throws that is not
   * Unavailable
   */
  async call<T>(attempt: (signal: AbortSignal, tries: number) => Promise<T>): Promise<T> {
    for (let tries = 0; ; tries++) {
      await this.#circuit.enter();
      this.#requests++;
      if (tries > 0) this.#retries++;
      this.#inFlight++;
      const startMs = performance.now();
      try {
        const made = await withDeadline(this.#requestTimeoutMs, this.#signal, (signal) => attempt(signal, tries));
        this.#circuit.succeeded();
        return made;
      } catch (error) {
        if (!(error instanceof Unavailable)) {
          // It has answered.
          if (!this.#signal.aborted) this.#circuit.succeeded();
          throw error;
        }
        this.#circuit.failed(error);
      } finally {
        this.#inFlight--;
        this.#seconds += (performance.now() - startMs) / 1_000;
      }
    }
  }

  /** No call is made any more: the signal of the job is listened to no longer. */
  close(): void {
    this.#circuit.close();
  }

  get counts(): CallCounts {
    return { requests: this.#requests, retries: this.#retries, inFlight: this.#inFlight, seconds: this.#seconds, isWaiting: this.#circuit.isOpen };
  }
}
