/** Damages the newest checkpoint of a directory, and only that: one bit of its manifest, or of a frame that the one before does not need. */

import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SeekableRng } from '../../core/index.ts';
import { frameBytes, readFrameHead } from '../../runtime/state-log/frames.ts';

const MANIFEST = /^checkpoint-(\d+)-(\d+)\.manifest$/;

/** @returns what was done; undefined: there is no checkpoint to fall back to, so nothing was */
export async function damageNewest(dir: string, kind: 'manifest' | 'segment', rng: SeekableRng): Promise<string | undefined> {
  const names = (await readdir(dir)).sort();
  const manifests = names.filter((name) => MANIFEST.test(name));
  const [before, newest] = manifests.slice(-2).map((name) => ({ name, run: Number(MANIFEST.exec(name)?.[1]), epoch: Number(MANIFEST.exec(name)?.[2]) }));
  if (before === undefined || newest === undefined) return undefined;
  const flip = async (name: string, from: number, to: number): Promise<string> => {
    const path = join(dir, name);
    const bytes = await readFile(path);
    const at = from + rng.int(to - from);
    bytes[at] = (bytes[at] as number) ^ (1 << rng.int(8));
    await writeFile(path, bytes);
    return `${name}, byte ${at}`;
  };
  const size = async (name: string): Promise<number> => (await readFile(join(dir, name))).length;
  if (kind === 'manifest' || before.run !== newest.run) return flip(newest.name, 0, await size(newest.name));
  for (const name of names.filter((one) => one.startsWith(`segment-${String(newest.run).padStart(8, '0')}-`))) {
    const bytes = await readFile(join(dir, name));
    for (let at = 0; at < bytes.length; ) {
      const head = readFrameHead(bytes.subarray(at), bytes.length - at);
      if (head === undefined) break;
      if (head.epoch > before.epoch && head.epoch <= newest.epoch) return flip(name, at, at + 32 + head.bodyBytes);
      at += frameBytes(head.bodyBytes);
    }
  }
  return flip(newest.name, 0, await size(newest.name));
}
