/**
 * Watches a topic while it is read: whether it still exists, is still the same one, and how many partitions
 * it has. Kafka does not announce such changes; a question every other second costs less than a fetch.
 */

import { MillraceError } from '../../core/index.ts';
import type { Cluster } from './client/index.ts';
import { CODE, codeOf, type TopicAnswer } from './protocol/index.ts';

const LOOK_MS = 2_000;
const LOOK_AGAIN_MS = 500;
/**
 * The topic counts as gone after this many looks in a row that did not find it. A single node may not know of
 * it yet.
 */
const MISSES_MAX = 2;

const ROOM_MIN = 8;
const ROOM_MAX = 256;

/** How many partitions a run has room for, of a topic that has `count` now: it may double. */
export function roomFor(count: number): number {
  return count + Math.min(Math.max(count, ROOM_MIN), ROOM_MAX);
}

export interface TopicEvents {
  /** The same topic as before, with the leaders of its partitions. */
  seen(topic: TopicAnswer): void;
  /** It has this many partitions now. A failure is retried, unless it is a MillraceError. */
  grown(count: number): Promise<void>;
  failed(error: MillraceError): void;
}

export class TopicWatch {
  readonly #name: string;
  readonly #topic: string;
  readonly #cluster: Cluster;
  readonly #events: TopicEvents;
  readonly #id: string | undefined;
  readonly #first: TopicAnswer;
  #count: number;
  #misses = 0;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #mayGrow = false;
  #isStopped = false;

  constructor(name: string, topic: string, cluster: Cluster, first: TopicAnswer, events: TopicEvents) {
    this.#name = name;
    this.#topic = topic;
    this.#cluster = cluster;
    this.#events = events;
    this.#id = first.id;
    this.#first = first;
    this.#count = first.partitions.length;
  }

  /**
   * @param mayGrow report new partitions; false for a drain, which ends where the topic ended when it began
   */
  start(mayGrow: boolean): void {
    this.#mayGrow = mayGrow;
    this.#events.seen(this.#first);
    this.#plan(LOOK_MS);
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  /** Looks now, because something is odd. */
  look(): void {
    if (this.#isStopped) return;
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
      this.#plan(this.#misses > 0 ? LOOK_AGAIN_MS : LOOK_MS);
    });
  }

  #plan(ms: number): void {
    clearTimeout(this.#timer);
    if (!this.#isStopped) this.#timer = setTimeout(() => this.look(), ms);
  }

  async #look(): Promise<void> {
    try {
      const found = await this.#cluster.topic(this.#topic);
      if (this.#isStopped) return;
      this.#misses = 0;
      if (found.id !== this.#id && found.id !== undefined && this.#id !== undefined) {
        this.#fail(
          'was deleted and made anew while it was read: offsets of the old one mean nothing in it. Start the job again to read the new one from its oldest row (with failOnDataLoss: false where positions of the old one are still committed).',
        );
        return;
      }
      this.#events.seen(found);
      if (!this.#mayGrow || found.partitions.length <= this.#count || found.partitions.some(({ leader }) => leader < 0)) return;
      await this.#events.grown(found.partitions.length);
      this.#count = found.partitions.length;
      this.#events.seen(found);
    } catch (error) {
      if (this.#isStopped) return;
      // The fetch loop and the member wait out an outage.
      if (error instanceof MillraceError) this.#events.failed(error);
      else if (codeOf(error) === CODE.unknownTopic && ++this.#misses >= MISSES_MAX)
        this.#fail('was deleted while it was read. Create it again, or read another one; what had been committed of it is gone with it.');
    }
  }

  #fail(what: string): void {
    this.#events.failed(new MillraceError('ERR_MILLRACE_SOURCE', `${this.#name}: the topic ${this.#topic} ${what}`));
  }
}
