/**
 * Who has the job, where its checkpoints are in a topic: said there again and again by the one that has it.
 * Others wait until nothing was heard of him for a session. It is a hint, for those who wait: what fences a
 * process that wakes up later is the transaction.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { MillraceError, shown } from '../../core/index.ts';
import { type CheckpointTopic, type Deposed, isProcessGone, isSameProcess } from '../../io/index.ts';

const LOOK_MS = 200;
const RENEWALS = 5;
const RENEWALS_MISSED = 3;
const RELEASE_MS_MAX = 1_000;

export interface TopicLeaseParts {
  readonly topic: CheckpointTopic;
  readonly pipeline: string;
  /** This process, by the name that its lock has. */
  readonly name: string;
  readonly sessionMs: number;
  readonly deposed: Deposed | undefined;
  readonly warn: (message: string) => void;
}

interface Announcement {
  readonly name: string;
  /** Greater than that of whoever had it before. */
  readonly term: number;
  readonly everyMs: number;
  readonly isReleased: boolean;
}

export class TopicLease {
  readonly #parts: TopicLeaseParts;
  #term = 0;
  #timer: NodeJS.Timeout | undefined;
  #isAtIt = false;
  hasWaited = false;

  constructor(parts: TopicLeaseParts) {
    this.#parts = parts;
  }

  /**
   * Resolves when nobody else has the job, as far as can be told.
   *
   * @param standBy waits for him; otherwise it is an error that he has it
   * @throws MillraceError ERR_MILLRACE_CHECKPOINT; the reason of the signal
   */
  async wait(standBy?: { readonly signal: AbortSignal; meanwhile(): Promise<void> }): Promise<void> {
    const { topic, pipeline, sessionMs, deposed, warn } = this.#parts;
    let heard = -1;
    let sinceMs = 0;
    for (let said = ''; ; ) {
      standBy?.signal.throwIfAborted();
      const last = await topic.holder();
      const of = last === undefined ? undefined : parsed(last.text);
      // Who has been deposed may still say something.
      const isOld = of !== undefined && of.term < this.#term;
      if (of !== undefined && !isOld) this.#term = of.term;
      if (last === undefined || of === undefined) return;
      if (!isOld && (of.isReleased || isProcessGone(of.name) || (deposed !== undefined && isSameProcess(of.name, deposed.name)))) return;
      const nowMs = performance.now();
      if (last.heard !== heard && !isOld) {
        if (heard >= 0 && standBy === undefined) {
          throw new MillraceError(
            'ERR_MILLRACE_CHECKPOINT',
            `The topic ${topic.name} is in use by ${who(of)}, for the pipeline ${shown(pipeline)}. One job a topic: stop that one, or start this one with standby, so that it takes over when that one ends.`,
          );
        }
        heard = last.heard;
        sinceMs = nowMs;
      }
      if (nowMs - sinceMs > Math.max(sessionMs, RENEWALS_MISSED * of.everyMs)) return;
      if (said !== of.name) {
        said = of.name;
        this.hasWaited = true;
        warn(
          standBy === undefined
            ? `${who(of)} had the pipeline ${shown(pipeline)} last, and did not give it back. This process waits for at most ${sessionMs / 1_000} s to see whether it is still at work.`
            : `The pipeline ${shown(pipeline)} is at work elsewhere: ${who(of)} (${topic.name}). This process stands by, and takes over when that one ends.`,
        );
      }
      await standBy?.meanwhile();
      await sleep(LOOK_MS, undefined, standBy === undefined ? {} : { signal: standBy.signal }).catch(() => {});
    }
  }

  /**
   * This process has the job from now on.
   *
   * @param lost called when another one has it
   */
  async begin(lost: (by: string) => void): Promise<void> {
    const { sessionMs } = this.#parts;
    this.#term++;
    await this.#announce(false);
    this.#timer = setInterval(() => void this.#turn(lost), sessionMs / RENEWALS);
    this.#timer.unref();
  }

  async close(): Promise<void> {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    const released = this.#other().then((other) => (other === undefined ? this.#announce(true) : undefined));
    await Promise.race([released, sleep(RELEASE_MS_MAX, undefined, { ref: false })]).catch(() => {});
  }

  /** A broker that cannot be reached says nothing about who has the job. */
  async #turn(lost: (by: string) => void): Promise<void> {
    if (this.#isAtIt) return;
    this.#isAtIt = true;
    try {
      const other = await this.#other();
      if (other === undefined) await this.#announce(false);
      else {
        clearInterval(this.#timer);
        lost(who(other));
      }
    } catch {
      // The next transaction tells.
    } finally {
      this.#isAtIt = false;
    }
  }

  /** Who has it now, in words; undefined: this process, or it cannot be told soon. */
  async takenBy(): Promise<string | undefined> {
    const other = this.#other().then((of) => (of === undefined ? undefined : who(of)));
    return Promise.race([other, sleep(RELEASE_MS_MAX, undefined, { ref: false })]).catch(() => undefined);
  }

  async #other(): Promise<Announcement | undefined> {
    const last = await this.#parts.topic.holder();
    const of = last === undefined ? undefined : parsed(last.text);
    return of !== undefined && of.term > this.#term ? of : undefined;
  }

  #announce(isReleased: boolean): Promise<void> {
    const { topic, name, sessionMs } = this.#parts;
    const announcement: Announcement = { name, term: this.#term, everyMs: sessionMs / RENEWALS, isReleased };
    return topic.announce(JSON.stringify(announcement));
  }
}

function parsed(text: string): Announcement | undefined {
  try {
    const { name, term, everyMs, isReleased } = JSON.parse(text) as Record<keyof Announcement, unknown>;
    const isOne = typeof name === 'string' && typeof term === 'number' && typeof everyMs === 'number';
    return isOne ? { name, term, everyMs, isReleased: isReleased === true } : undefined;
  } catch {
    return undefined;
  }
}

function who({ name }: Announcement): string {
  const [pid, , , , host = ''] = name.replace(/\.json$/, '').split('_');
  return `process ${pid} on ${decodeURIComponent(host)}`;
}
