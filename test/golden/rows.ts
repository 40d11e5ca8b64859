// The rows that golden checkpoints have read, and those that come after them. Not to be changed.

import { mkdir, writeFile } from 'node:fs/promises';
import { topicIdPath, topicPath } from '../../io/log/layout.ts';
import { writeTopic } from '../runtime/topics.ts';

const KEYS = ['a', 'b', 'c', '', 'a key that is longer than what lies in a slot', '\u2603'];
const TEXTS = ['x', 'y', null, '', 'a text of more bytes than a slot of a group table has room for'];

/** Records `from` to `to` of a topic, as JSON. */
export function records(topic: 'left' | 'right', from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => {
    const id = from + i;
    const mixed = Math.imul(id + (topic === 'left' ? 1 : 77), 0x9e3779b1) >>> 0;
    const text = TEXTS[(mixed >>> 8) % TEXTS.length];
    return JSON.stringify({ key: KEYS[mixed % KEYS.length], ...(text === null ? {} : { text }), n: (mixed >>> 16) % 11, at: 1_000 + id * 3 });
  });
}

/** Of each topic: what the checkpoint has read, and what there is in the end. */
const READ = 200;
export const ALL = 320;

/** Writes what the checkpoint has read. */
export async function writeRead(dir: string): Promise<void> {
  for (const topic of ['left', 'right'] as const) {
    // By which a checkpoint knows the topic again.
    await mkdir(topicPath(dir, topic), { recursive: true });
    await writeFile(topicIdPath(topicPath(dir, topic)), `golden-${topic}\n`);
    await writeTopic(dir, topic, 2, records(topic, 0, READ));
  }
}

/** Writes what comes after it. */
export async function writeNew(dir: string): Promise<void> {
  for (const topic of ['left', 'right'] as const) await writeTopic(dir, topic, 2, records(topic, READ, ALL), 1);
}
