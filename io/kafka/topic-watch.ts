/**
 * An eye on a topic while it is read: whether it is still there, still the same one, and how many partitions it has. Kafka
 * tells nobody of such changes; a question every other second costs less than a fetch.
 */

import { MillraceError } from '../../core/index.ts';
import type { Cluster } from './client/cluster.ts';
import { CODE, codeOf } from './client/errors.ts';
import type { TopicAnswer } from './client/requests.ts';

const LOOK_MS = 2_000;
const LOOK_AGAIN_MS = 500;
/** Looks in a row that have not found the topic. One node alone may not have heard of it yet. */
const MISSES_MAX = 2;

const ROOM_MIN = 8;
const ROOM_MAX = 256;

/** How many partitions a run can take in, of a topic that has `count` now: it may double. */
export function roomFor(count: number): number {
  return count + Math.min(Math.max(count, ROOM_MIN), ROOM_MAX);
}

export interface TopicEvents {
  /** As it is now: the one that it was, with the leaders of its partitions. */
  seen(topic: TopicAnswer): void;
  /** It has so many partitions now. What fails is tried again, but for a MillraceError. */
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

  /** @param mayGrow new partitions are to be told of: a drain ends where the topic ended when it began */
  start(mayGrow: boolean): void {
    this.#mayGrow = mayGrow;
    this.#events.seen(this.#first);
    this.#plan(LOOK_MS);
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  /** Looks now: something is odd. */
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
      // An outage is the fetch loop's, and the member's, to wait out.
      if (error instanceof MillraceError) this.#events.failed(error);
      else if (codeOf(error) === CODE.unknownTopic && ++this.#misses >= MISSES_MAX)
        this.#fail('was deleted while it was read. Create it again, or read another one; what had been committed of it is gone with it.');
    }
  }

  #fail(what: string): void {
    this.#events.failed(new MillraceError('ERR_MILLRACE_SOURCE', `${this.#name}: the topic ${this.#topic} ${what}`));
  }
}
