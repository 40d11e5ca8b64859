/**
 * What a folder has of the topic that it mirrors: one small file in it. It may be older than the folder, and
 * missing: then more of the topic is read again.
 *
 *   topic.index   crc32c of what follows, a blank, and JSON
 */

import { crc32cBytes } from '../../core/index.ts';
import type { Disk } from '../disk/index.ts';

const TOPIC_INDEX_FILE = 'topic.index';
const ASIDE = `${TOPIC_INDEX_FILE}.new`;

export interface TopicIndex {
  /** The topic's id. */
  readonly topic: string;
  /** The folder has what the topic has in front of this offset. */
  readonly offset: number;
  /** The topic says whose it is. */
  readonly hasHead: boolean;
  readonly files: readonly { readonly name: string; readonly pieces: readonly number[]; readonly end: number }[];
}

/** undefined: there is none, or it is not whole. */
export async function readTopicIndex(disk: Disk): Promise<TopicIndex | undefined> {
  const bytes = await disk.read(TOPIC_INDEX_FILE, Number.POSITIVE_INFINITY);
  if (bytes === undefined || bytes.length < 9) return undefined;
  const text = Buffer.from(bytes).toString('utf8');
  return text.slice(0, 8) === checksum(bytes.subarray(9)) ? (JSON.parse(text.slice(9)) as TopicIndex) : undefined;
}

export async function writeTopicIndex(disk: Disk, index: TopicIndex): Promise<void> {
  const json = Buffer.from(JSON.stringify(index));
  await disk.create(ASIDE, Buffer.concat([Buffer.from(`${checksum(json)} `), json]));
  await disk.sync(ASIDE);
  await disk.rename(ASIDE, TOPIC_INDEX_FILE);
  await disk.syncNames();
}

function checksum(bytes: Uint8Array): string {
  return crc32cBytes(bytes).toString(16).padStart(8, '0');
}
