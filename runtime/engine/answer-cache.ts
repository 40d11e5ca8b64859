/** Answers of look-ups that a thread keeps: the least recently used go first, and none is older than its time. */

import type { AnyRow } from '../../core/index.ts';
import type { LookupCache } from '../../operators/index.ts';

interface Kept {
  readonly answer: AnyRow;
  readonly untilMs: number;
}

export class AnswerCache {
  readonly #options: LookupCache;
  /** In the order in which they were used last. */
  readonly #answers = new Map<string, Kept>();

  constructor(options: LookupCache) {
    this.#options = options;
  }

  get(key: string): AnyRow | undefined {
    const kept = this.#answers.get(key);
    if (kept === undefined) return undefined;
    this.#answers.delete(key);
    if (kept.untilMs <= performance.now()) return undefined;
    this.#answers.set(key, kept);
    return kept.answer;
  }

  set(key: string, answer: AnyRow): void {
    const { size, ttlMs } = this.#options;
    this.#answers.set(key, { answer, untilMs: performance.now() + ttlMs });
    if (this.#answers.size > size) this.#answers.delete(this.#answers.keys().next().value as string);
  }

  /** What rows with one answer have in common. */
  keyOf(row: AnyRow): string {
    return JSON.stringify(this.#options.by.map((name) => keyValue(row[name])));
  }
}

function keyValue(value: unknown): unknown {
  if (typeof value === 'bigint') return [String(value)];
  return value instanceof Uint8Array ? [Buffer.from(value).toString('base64'), 0] : value;
}
