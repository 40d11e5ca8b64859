/**
 * The open sessions of a shard: for each key a list of them in the order of time, which rows extend, merge
 * and begin. No two of a key touch each other. Arrays by session, no object. A session also has a number that is never reused, the key of its
 * slot in a group table. A session is dropped at once, its slot later.
 */

import { TimeHeap } from '../by-key/index.ts';

const NONE = -1;
/** A watermark has passed an end, not only reached it, from this long behind it on: times are whole. */
export const BEHIND_MS = 1;
const SESSIONS_MIN = 64;

export class SessionList {
  /**
   * By session: first time of its rows; last time, or where each row has a gap of its own (the list's is 0 then)
   * the last end; key id; number.
   */
  starts = new Float64Array(SESSIONS_MIN);
  lasts = new Float64Array(SESSIONS_MIN);
  keys = new Uint32Array(SESSIONS_MIN);
  numbers = new Uint32Array(SESSIONS_MIN);
  /**
   * After `add`: by number, the sessions that were merged, each into the one before it; the latest first. More
   * than one only where rows have gaps of their own.
   */
  readonly merged: { readonly from: number; readonly to: number }[] = [];
  /** The number of the next session. */
  nextNumber = 0;
  size = 0;
  readonly #gapMs: number;
  #next = new Int32Array(SESSIONS_MIN);
  #previous = new Int32Array(SESSIONS_MIN);
  /** 1: merged into another, or closed. */
  #isMerged = new Uint8Array(SESSIONS_MIN);
  #isChanged = new Uint8Array(SESSIONS_MIN);
  #head = new Int32Array(0);
  #tail = new Int32Array(0);
  /** Each session once, at its end as known when it was put there. */
  readonly #byEnd = new TimeHeap();
  #changed: number[] = [];
  #free: number[] = [];
  #used = 0;

  constructor(gapMs: number) {
    this.#gapMs = gapMs;
  }

  get bytes(): number {
    return this.starts.length * 34 + this.#head.length * 8 + this.#byEnd.bytes;
  }

  /** No session ends before; +Infinity: there is none. */
  get firstEnd(): number {
    return this.#byEnd.firstTime;
  }

  reserveKeys(limit: number): void {
    if (limit <= this.#head.length) return;
    const head = new Int32Array(limit).fill(NONE);
    head.set(this.#head);
    this.#head = head;
    const tail = new Int32Array(limit).fill(NONE);
    tail.set(this.#tail);
    this.#tail = tail;
  }

  /**
   * What `add` would do with a row, without doing it: the number of the session that it goes into (-1: a new
   * one), and of the sessions that are merged into that one, the earliest first.
   */
  lookAt(key: number, time: number, last = time): { readonly into: number; readonly from: readonly number[] } {
    let at = this.#nearest(key, time, last);
    if (at === NONE) return { into: NONE, from: [] };
    const from: number[] = [];
    for (let before = this.#before(at, time); before !== NONE; before = this.#before(at, time)) {
      from.unshift(this.numbers[at] as number);
      at = before;
    }
    return { into: this.numbers[at] as number, from };
  }

  /**
   * Takes one row of a key. Returns the number of its session.
   *
   * @param last where the list's gap is 0, the end of the row
   */
  add(key: number, time: number, last = time): number {
    this.merged.length = 0;
    let at = this.#nearest(key, time, last);
    if (at === NONE) {
      const session = this.insert(key, time, last, this.nextNumber++, this.#lastBefore(key, time));
      this.#change(session);
      return this.numbers[session] as number;
    }
    if (last > (this.lasts[at] as number)) this.lasts[at] = last;
    for (let before = this.#before(at, time); before !== NONE; before = this.#before(at, time)) {
      // The row is close to two sessions.
      this.merged.push({ from: this.numbers[at] as number, to: this.numbers[before] as number });
      this.lasts[before] = this.lasts[at] as number;
      this.#unlink(at);
      this.#isMerged[at] = 1;
      this.size--;
      at = before;
    }
    if (time < (this.starts[at] as number)) this.starts[at] = time;
    this.#change(at);
    return this.numbers[at] as number;
  }

  /** The latest session that a row is close to, or NONE. */
  #nearest(key: number, time: number, last: number): number {
    let at = this.#tail[key] as number;
    while (at !== NONE && (this.starts[at] as number) - this.#gapMs > last) at = this.#previous[at] as number;
    return at === NONE || (this.lasts[at] as number) + this.#gapMs < time ? NONE : at;
  }

  /** The session before one that a row is close to, where the row is close to it, too. */
  #before(session: number, time: number): number {
    const before = this.#previous[session] as number;
    return before !== NONE && (this.lasts[before] as number) + this.#gapMs >= time ? before : NONE;
  }

  /** The last session of a key that ends before a time, or NONE. */
  #lastBefore(key: number, time: number): number {
    let at = this.#tail[key] as number;
    while (at !== NONE && (this.starts[at] as number) > time) at = this.#previous[at] as number;
    return at;
  }

  /** Puts a session after another one of its key; NONE: first. */
  insert(key: number, start: number, last: number, number: number, behind: number): number {
    const session = this.#free.pop() ?? this.#used++;
    if (session === this.starts.length) this.#grow();
    this.starts[session] = start;
    this.lasts[session] = last;
    this.keys[session] = key;
    this.numbers[session] = number;
    this.#isMerged[session] = 0;
    this.#isChanged[session] = 0;
    const next = behind === NONE ? (this.#head[key] as number) : (this.#next[behind] as number);
    this.#previous[session] = behind;
    this.#next[session] = next;
    if (behind === NONE) this.#head[key] = session;
    else this.#next[behind] = session;
    if (next === NONE) this.#tail[key] = session;
    else this.#previous[next] = session;
    this.#byEnd.push(last + this.#gapMs, number, session);
    this.size++;
    return session;
  }

  /** The last session of a key, or -1. */
  lastOf(key: number): number {
    return this.#tail[key] as number;
  }

  /** Sessions that end before a time, in the order of their ends. They stay in the lists until `remove`. */
  close(before: number): number[] {
    const closed: number[] = [];
    const heap = this.#byEnd;
    while (heap.size > 0 && (heap.firstTime < before || before === Number.POSITIVE_INFINITY)) {
      const known = heap.firstTime;
      const session = heap.pop();
      const end = (this.lasts[session] as number) + this.#gapMs;
      if (this.#isMerged[session] === 1) this.#free.push(session);
      else if (end > known) heap.push(end, this.numbers[session] as number, session);
      else closed.push(session);
    }
    return closed;
  }

  /** Drops a session that `close` gave. True: its key has no other. */
  remove(session: number): boolean {
    this.#unlink(session);
    this.#isMerged[session] = 1;
    this.#free.push(session);
    this.size--;
    return this.#head[this.keys[session] as number] === NONE;
  }

  /** The sessions that rows went into since the last call, in the order of their first rows. */
  takeChanged(): number[] {
    const changed = this.#changed.filter((session) => this.#isMerged[session] === 0);
    for (const session of this.#changed) this.#isChanged[session] = 0;
    this.#changed = [];
    return changed;
  }

  /** Whether a session is still the one with this number. */
  isOpen(session: number, number: number): boolean {
    return this.#isMerged[session] === 0 && this.numbers[session] === number;
  }

  /** All sessions, in the order of their numbers. */
  inOrder(): number[] {
    const isFree = new Set(this.#free);
    const sessions = Array.from({ length: this.#used }, (_, session) => session).filter((session) => !isFree.has(session) && this.#isMerged[session] === 0);
    return sessions.sort((a, b) => (this.numbers[a] as number) - (this.numbers[b] as number));
  }

  #change(session: number): void {
    if (this.#isChanged[session] === 1) return;
    this.#isChanged[session] = 1;
    this.#changed.push(session);
  }

  #unlink(session: number): void {
    const key = this.keys[session] as number;
    const before = this.#previous[session] as number;
    const behind = this.#next[session] as number;
    if (before === NONE) this.#head[key] = behind;
    else this.#next[before] = behind;
    if (behind === NONE) this.#tail[key] = before;
    else this.#previous[behind] = before;
  }

  #grow(): void {
    const length = this.starts.length * 2;
    this.starts = grown(this.starts, new Float64Array(length));
    this.lasts = grown(this.lasts, new Float64Array(length));
    this.keys = grown(this.keys, new Uint32Array(length));
    this.numbers = grown(this.numbers, new Uint32Array(length));
    this.#next = grown(this.#next, new Int32Array(length));
    this.#previous = grown(this.#previous, new Int32Array(length));
    this.#isMerged = grown(this.#isMerged, new Uint8Array(length));
    this.#isChanged = grown(this.#isChanged, new Uint8Array(length));
  }
}

function grown<T extends Float64Array | Uint32Array | Int32Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
