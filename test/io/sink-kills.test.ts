/**
 * Processes that write to log.sink and files.sink exactly-once are killed, again and again, at random moments
 * of their write, prepare and commit. A reader that has followed all along, and one that looks at the end, see
 * every row of the decided checkpoints once, in order.
 */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type SeekableRng, seededRng, schema as toSchema, utf8 } from '../../core/index.ts';
import { log } from '../../io/index.ts';
import { json } from '../../io/json.ts';
import type { SourceReader } from '../../io/source.ts';
import { effortCount, seedOf } from '../seed.ts';
import { kafkaDecode } from './record-batch-harness.ts';
import { KINDS } from './sink-kinds.ts';

const root = mkdtempSync(join(tmpdir(), 'millrace-kills-'));
after(() => rmSync(root, { recursive: true }));

const writer = fileURLToPath(new URL('./fixtures/exactly-once-writer.ts', import.meta.url));
const typescript = fileURLToPath(new URL('../../scripts/typescript.js', import.meta.url));
const KILLS = effortCount(20);

/** Starts a writer, and kills it a random time after a random number of commits. */
async function killOne(dir: string, attempt: number, rng: SeekableRng): Promise<void> {
  const child: ChildProcess = spawn(process.execPath, ['--import', typescript, writer, dir, String(attempt)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let lines = 1 + rng.int(6);
  const waitMs = rng.int(20);
  await new Promise<void>((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) => (signal === 'SIGKILL' ? resolve() : reject(new Error(`the writer ended with ${code ?? signal}`))));
    child.stdout?.on('data', (text: Buffer) => {
      const before = lines;
      lines -= String(text).split('\n').length - 1;
      if (before > 0 && lines <= 0) setTimeout(() => child.kill('SIGKILL'), waitMs);
    });
  });
}

/** Reads the topic from before its first row, over all kills. */
class Follower {
  readonly values: string[][] = [[], []];
  readonly #frames: { partition: number; bytes: Uint8Array; first: number }[] = [];
  #reader: SourceReader | undefined;
  failure: unknown;

  async open(dir: string): Promise<void> {
    this.#reader = await log.source({ dir, topic: 't', value: json({ row: utf8 }) }).open({
      drain: false,
      signal: new AbortController().signal,
      emit: (partition, bytes, first) => {
        this.#frames.push({ partition, bytes: new Uint8Array(bytes), first });
        return true;
      },
      credit: async () => {},
      end: () => {},
      high: () => {},
      assigned: () => {},
      fail: (error) => {
        this.failure = error;
      },
    });
    this.#reader.start();
  }

  /** Waits until it has that many rows of each partition. */
  async until(counts: readonly number[]): Promise<void> {
    const isBehind = () => counts.some((count, partition) => this.#frames.filter((frame) => frame.partition === partition).length < count);
    while (this.failure === undefined && isBehind()) await new Promise((resolve) => setTimeout(resolve, 5));
    await this.#reader?.close();
    for (const { partition, bytes, first } of this.#frames) {
      assert.equal(first, this.values[partition]?.length, 'without gaps');
      for (const { value } of (await kafkaDecode(bytes)).records) this.values[partition]?.push(String(value));
    }
  }
}

test(`${KILLS} kills lose and double nothing`, async () => {
  const rng = seededRng(seedOf(97));
  const dir = mkdtempSync(join(root, 'writer-'));
  const manifest = join(dir, 'manifest.json');
  const decided = (): { checkpoint: number; rows: string[][] } =>
    existsSync(manifest) ? JSON.parse(readFileSync(manifest, 'utf8')) : { checkpoint: -1, rows: [[], []] };
  const follower = new Follower();
  for (let attempt = 0; attempt < KILLS; attempt++) {
    await killOne(dir, attempt, rng);
    // Between two processes: whole checkpoints, the last one perhaps not shown yet.
    const { rows } = decided();
    for (const kind of KINDS) {
      (await kind.read(join(dir, kind.name))).forEach((seen, partition) => {
        const all = rows[partition] as string[];
        assert.deepEqual(seen, all.slice(0, seen.length), `${kind.name}, partition ${partition} after kill ${attempt}`);
        assert.ok(seen.length >= all.length - 4, `${kind.name}, partition ${partition} after kill ${attempt}`);
      });
    }
    if (attempt === 0) await follower.open(join(dir, 'log.sink'));
  }
  const { checkpoint, rows } = decided();
  assert.ok((rows[0] as string[]).length > KILLS, `${(rows[0] as string[]).length} rows`);
  for (const kind of KINDS) {
    const place = join(dir, kind.name);
    const sink = await kind
      .sink(place)
      .open({ schema: toSchema({ row: utf8 }), pipeline: 'p', signal: new AbortController().signal, guarantee: 'exactly-once' });
    await sink.recover?.(checkpoint);
    assert.deepEqual(await kind.read(place), rows, kind.name);
    await sink.close();
  }
  await follower.until(rows.map((of) => of.length));
  assert.equal(follower.failure, undefined);
  assert.deepEqual(follower.values, rows);
});
