/**
 * The messages of the decode cases, in a file: JSON objects of about 100 bytes, one per line, as
 * JSON.stringify writes them, with their keys in one order or shuffled. Also the digest of what a decoder
 * read from them.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bool, f64, schema, seededRng, timestamp, utf8 } from '../../core/index.ts';
import type { Digest, Input } from '../harness.ts';

export const message = schema({ page: utf8, user: utf8, ms: f64, at: timestamp, ref: utf8, ok: bool });

export interface Message {
  readonly page: string;
  readonly user: string;
  readonly ms: number;
  readonly at: number;
  readonly ref: string;
  readonly ok: boolean;
}

export function writeMessages({ dir, size }: Input, isShuffled: boolean): void {
  const rng = seededRng(7);
  const lines: string[] = [];
  for (let i = 0; i < size; i++) {
    const of: Message = {
      page: `/page/${Math.floor(1_000 * rng() ** 2)}`,
      user: `user-${rng.int(100_000)}`,
      ms: rng.int(80_000) / 8,
      at: 1_767_225_600_000 + i,
      ref: `/page/${rng.int(1_000)}`,
      ok: rng.chance(0.5),
    };
    const fields = Object.entries(of);
    if (isShuffled) {
      for (let n = fields.length - 1; n > 0; n--) {
        const m = rng.int(n + 1);
        [fields[n], fields[m]] = [fields[m] as [string, unknown], fields[n] as [string, unknown]];
      }
    }
    lines.push(JSON.stringify(Object.fromEntries(fields)));
  }
  writeFileSync(join(dir, 'messages.ndjson'), `${lines.join('\n')}\n`);
}

export interface Lines {
  readonly bytes: Buffer;
  /** Line i is bytes starts[i] to ends[i]. */
  readonly starts: Uint32Array;
  readonly ends: Uint32Array;
  readonly count: number;
}

export function readMessages({ dir, size }: Input): Lines {
  const bytes = readFileSync(join(dir, 'messages.ndjson'));
  const starts = new Uint32Array(size);
  const ends = new Uint32Array(size);
  let count = 0;
  for (let at = 0; at < bytes.length; count++) {
    const end = bytes.indexOf(0x0a, at);
    starts[count] = at;
    ends[count] = end;
    at = end + 1;
  }
  return { bytes, starts, ends, count };
}

/** Rows, text lengths, last characters of the texts, numbers, and truths. */
export class MessageDigest {
  readonly numbers = new Float64Array(6);

  add(textBytes: number, lastBytes: number, ms: number, at: number, ok: boolean): void {
    const n = this.numbers;
    n[0] = (n[0] as number) + 1;
    n[1] = (n[1] as number) + textBytes;
    n[2] = (n[2] as number) + lastBytes * (1 + ((n[0] as number) % 7));
    n[3] = (n[3] as number) + ms;
    n[4] = (n[4] as number) + (at - 1_767_225_600_000);
    n[5] = (n[5] as number) + (ok ? (n[0] as number) % 1_001 : 0);
  }

  addMessage({ page, user, ms, at, ref, ok }: Message): void {
    const last = (text: string): number => text.charCodeAt(text.length - 1);
    this.add(page.length + user.length + ref.length, last(page) + 3 * last(user) + 5 * last(ref), ms, at, ok);
  }

  digest(): Digest {
    return [...this.numbers];
  }
}

/** The right answer: JSON.parse, line by line. */
export function messageReference(input: Input): Digest {
  const digest = new MessageDigest();
  for (const line of readFileSync(join(input.dir, 'messages.ndjson'), 'utf8').trimEnd().split('\n')) digest.addMessage(JSON.parse(line) as Message);
  return digest.digest();
}
