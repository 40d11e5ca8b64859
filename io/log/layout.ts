/**
 * The folders and files of the embedded log, and the names that it accepts. No byte of a record is read here.
 *
 *   dir/
 *     clicks/                          a topic
 *       partition-0/
 *         00000000000000000000.log     segments, named by their first offset: record batches v2, back
 *         00000000000002481920.log     to back, with their true base offsets, as in Kafka's own segments
 *       partition-1/ ...
 *       groups/
 *         dashboard.json               positions that the group `dashboard` has committed
 *         dashboard.json.held/         the job that reads with this group, while there is one
 *       topic-id                       tells the topic from one that is made anew in its place
 *       stable-offsets                 where readers stop, once the topic was written exactly-once
 *       writer.held/                   the one writer, while there is one
 */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MillraceError, shown, shownPath } from '../../core/index.ts';

const TOPIC = /^[A-Za-z0-9._-]{1,249}$/;
const PARTITION = /^partition-(0|[1-9]\d{0,5})$/;
const SEGMENT = /^(\d{20})\.log$/;
const GROUP_BYTES_MAX = 200;

/** The folder of a topic. Topic names are those that Kafka accepts, so none leads out of `dir`. */
export function topicPath(dir: string, topic: string): string {
  if (typeof topic !== 'string' || !TOPIC.test(topic) || topic === '.' || topic === '..') {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `The topic ${shown(topic)} is no name for a topic: take 1 to 249 of the characters a-z, A-Z, 0-9, '.', '_' and '-'.`,
    );
  }
  return join(dir, topic);
}

/** Made with the topic. One that an earlier version made has none. */
export function topicIdPath(topicDir: string): string {
  return join(topicDir, 'topic-id');
}

/** The id of a topic; undefined: it has none. */
export async function topicId(topicDir: string): Promise<string | undefined> {
  try {
    const id = (await readFile(topicIdPath(topicDir), 'utf8')).trim();
    return id === '' ? undefined : id;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw fileError('cannot be read', topicIdPath(topicDir), cause);
  }
}

export function partitionPath(dir: string, topic: string, partition: number): string {
  return join(topicPath(dir, topic), `partition-${partition}`);
}

export function segmentPath(partitionDir: string, baseOffset: number): string {
  return join(partitionDir, `${String(baseOffset).padStart(20, '0')}.log`);
}

/**
 * The file of a group. Any text is a group name: characters other than letters, digits and `-_.!~*'()` are
 * percent-encoded.
 */
export function groupPath(dir: string, topic: string, group: string): string {
  let name = '';
  try {
    if (typeof group === 'string') name = encodeURIComponent(group);
  } catch {
    // Half a surrogate pair: not a text.
  }
  if (name.length === 0 || name.length > GROUP_BYTES_MAX) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `The group ${shown(group)} is no name for a group: take a text of 1 to ${GROUP_BYTES_MAX} characters.`);
  }
  return join(topicPath(dir, topic), 'groups', `${name}.json`);
}

/** The lock of the one writer (process-lock.ts). */
export function lockPath(dir: string, topic: string): string {
  return join(topicPath(dir, topic), 'writer');
}

/** The file of the stable offsets (stable-offsets.ts). */
export function stablePath(topicDir: string): string {
  return join(topicDir, 'stable-offsets');
}

/** A folder as an option gives it: a path, or a file URL. */
export function dirPath(dir: string | URL): string {
  if (dir instanceof URL) return fileURLToPath(dir);
  if (typeof dir === 'string' && dir.length > 0) return dir;
  throw new MillraceError('ERR_MILLRACE_OPTION', `The dir of the log is ${shownPath(dir)}. Give the path, or the file URL, of a folder.`);
}

/** Topics in `dir`, sorted; none when the folder does not exist. */
export async function listTopics(dir: string): Promise<string[]> {
  const topics: string[] = [];
  for (const entry of await list(dir)) {
    if (entry.isDirectory() && TOPIC.test(entry.name) && (await listPartitions(join(dir, entry.name))) > 0) topics.push(entry.name);
  }
  return topics.sort();
}

/** How many partitions a topic has: 0 when it does not exist. */
export async function listPartitions(topicDir: string): Promise<number> {
  const found = new Set<number>();
  for (const entry of await list(topicDir)) {
    const match = PARTITION.exec(entry.name);
    if (match && entry.isDirectory()) found.add(Number(match[1]));
  }
  for (let partition = 0; partition < found.size; partition++) {
    if (!found.has(partition))
      throw new MillraceError(
        'ERR_MILLRACE_CORRUPT',
        `${topicDir} has ${found.size} partitions, but no folder partition-${partition}. Restore it, or write the topic anew.`,
      );
  }
  return found.size;
}

/** Base offsets of a partition's segments, ascending. */
export async function listSegments(partitionDir: string): Promise<number[]> {
  const bases: number[] = [];
  for (const entry of await list(partitionDir)) {
    const match = SEGMENT.exec(entry.name);
    if (match && entry.isFile()) bases.push(Number(match[1]));
  }
  return bases.sort((a, b) => a - b);
}

async function list(dir: string) {
  try {
    return await readdir(dir, { withFileTypes: true });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw fileError('cannot read the folder', dir, cause);
  }
}

/** An error of the file system, as the log reports it. */
export function fileError(what: string, path: string, cause: unknown): MillraceError {
  if (cause instanceof MillraceError) return cause;
  return new MillraceError('ERR_MILLRACE_FILE', `The log ${what} ${path}: ${(cause as Error).message}.`, { cause });
}
