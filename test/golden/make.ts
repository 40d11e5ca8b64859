/**
 * Makes a golden checkpoint: a directory as this version of the package and of Node writes it, and what comes out when a job goes on from it,
 * each file compressed.
 *
 *   node --import ./scripts/typescript.js test/golden/make.ts NAME
 *
 * NAME tables-... makes one of the pipeline of tables. NAME later-format makes one of a format that nobody knows yet. A new one is made for each release, and whenever a format changes. Those that there are stay as they are: later versions must read them, or
 * refuse them by name.
 */

import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { crc32cBytes } from '../../core/index.ts';
import { writeNew, writeRead } from './rows.ts';
import { EXPECTED, outputs } from './run.ts';

const [name] = process.argv.slice(2);
if (name === undefined || !/^[\w.-]+$/.test(name))
  throw new Error('give a name for the checkpoint: node --import ./scripts/typescript.js test/golden/make.ts v1');
const to = fileURLToPath(new URL(`checkpoints/${name}/`, import.meta.url));
if (name === 'later-format') {
  const json = Buffer.from('{"format": 999, "what": "nobody knows"}\n');
  const checksum = crc32cBytes(json, 0, json.length, crc32cBytes(Buffer.from(`millrace checkpoint 999 ${json.length}\n`)));
  await mkdir(to, { recursive: true });
  const line = `millrace checkpoint 999 ${checksum.toString(16).padStart(8, '0')} ${json.length}\n`;
  await writeFile(join(to, 'checkpoint-00000001-0000000000000004.manifest.gz'), gzipSync(Buffer.concat([Buffer.from(line), json])));
  process.exit();
}
const dir = await mkdtemp(join(tmpdir(), 'millrace-golden-'));
try {
  // Several epochs: blocks, too, are to be in the log, not bases alone.
  await writeRead(dir);
  await outputs(name, dir, { trigger: 10, epochBytes: '1KiB' });
  await rm(to, { recursive: true, force: true });
  await mkdir(to, { recursive: true });
  const files = (await readdir(join(dir, 'state'))).filter((file) => file !== 'job.held');
  for (const file of files) await writeFile(join(to, `${file}.gz`), gzipSync(await readFile(join(dir, 'state', file)), { level: 9 }));
  await writeNew(dir);
  const expected = await outputs(name, dir, { trigger: '1h', drain: 'emit' });
  await writeFile(join(to, EXPECTED), gzipSync(JSON.stringify(expected, undefined, 1), { level: 9 }));
} finally {
  await rm(dir, { recursive: true, force: true });
}
