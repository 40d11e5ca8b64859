/**
 * Jobs whose state is several times what memory has room for, with `atLimit: 'spill'`: results are as with
 * memory for all of it, for each kind of operator; after a worker's death, too. What is on disk is checked, and
 * nothing of it is left.
 */

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, open, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { seededRng } from '../../core/index.ts';
import { type RunOptions, run } from '../../runtime/index.ts';
import { SpillFiles } from '../../runtime/state-log/index.ts';
import { seedOf, shareOf } from '../seed.ts';
import { KINDS, type Params, type Result, type Row, results } from './pipelines/spill.ts';
import { writeTopic } from './topics.ts';

const module = new URL('./pipelines/spill.ts', import.meta.url);
const ROWS = 24_000;
const KEYS = 20_000;
const TEXT_BYTES = 500;
/** 4 MiB of it are for state, for texts of 13 MB and what is kept beside them. */
const LIMIT = '32MiB';
const EPOCH_BYTES = '1MiB';

const dir = await mkdtemp(join(tmpdir(), 'millrace-spill-test-'));
// Folders for state are made here.
process.env['TMPDIR'] = dir;
process.env['TEMP'] = dir;
after(() => rm(dir, { recursive: true, force: true }));
const rng = seededRng(seedOf(1));
const rows = Array.from(
  { length: ROWS },
  (_, id): Row => ({
    id,
    // Each key once, then some of them again.
    key: id < KEYS ? id : rng.int(KEYS),
    n: rng.int(5),
    text: `${String(id).padStart(8, '0')}-`.padEnd(TEXT_BYTES, 'state '),
    at: Math.floor((id * 1_000) / ROWS),
  }),
);
await writeTopic(
  dir,
  'in',
  1,
  rows.map((row) => JSON.stringify(row)),
);

const start = (params: Omit<Params, 'dir'>, options: RunOptions) =>
  run(module, { workers: 2, trigger: '1s', epochBytes: EPOCH_BYTES, bounded: true, drain: 'emit', ...options, params: { dir, ...params } });

/** As one text each, in an order of their own; of running results the last one of each key. */
function settled(kind: string, of: readonly Result[]): string[] {
  const isRunning = ['running aggregates', 'reduce', 'table', 'groups of a table', 'join of tables'].includes(kind);
  const final = isRunning ? [...new Map(of.map((row) => [row.key, row])).values()] : of;
  return final.map((row) => JSON.stringify(row)).sort();
}

/** What comes out, and the most that was on disk. */
async function outcome(kind: string, options: RunOptions) {
  const job = await start({ kind }, options);
  let spilledMax = 0;
  const timer = setInterval(() => {
    spilledMax = Math.max(spilledMax, job.progress().spilledBytes);
  }, 1);
  await job.done.finally(() => clearInterval(timer));
  return { rows: settled(kind, results.rows), spilledMax };
}

for (const kind of shareOf(Object.keys(KINDS).filter((name) => name !== 'viewed'))) {
  test(`${kind}: the same with state on disk`, async () => {
    const plain = await outcome(kind, { memory: '1GiB' });
    const spilled = await outcome(kind, { memory: { limit: LIMIT, atLimit: 'spill' } });
    assert.equal(plain.spilledMax, 0);
    assert.ok(plain.rows.length >= KEYS, `${plain.rows.length} results`);
    assert.deepEqual(spilled.rows, plain.rows);
    assert.deepEqual(
      (await readdir(dir)).filter((name) => name.startsWith('millrace-spill-')),
      [],
    );
    assert.ok(spilled.spilledMax > 2 << 20, `at most ${spilled.spilledMax} bytes were on disk`);
  });
}

const SPILLING = { memory: { limit: LIMIT, atLimit: 'spill' } } as const;
/** What is left of the folder for state in a checkpoint directory. */
const leftIn = async (state: string): Promise<string[]> => (await readdir(state)).filter((name) => name === 'spill');

async function written(out: string): Promise<Result[]> {
  const names = (await readdir(out)).filter((name) => !name.startsWith('.'));
  const texts = await Promise.all(names.map((name) => readFile(join(out, name), 'utf8')));
  return texts.flatMap((text) => text.trimEnd().split('\n')).map((line) => JSON.parse(line) as Result);
}

for (const kind of ['tumbling windows', 'process with timers and ttl'] as const) {
  test(`${kind}: a worker dies while state is on disk, and the job goes on from its checkpoint`, async () => {
    const plain = await outcome(kind, { memory: '1GiB' });
    const place = join(dir, kind.replaceAll(' ', '-'));
    await mkdir(place);
    await symlink(join(dir, 'in'), join(place, 'in'));
    const state = join(place, 'state');
    // What a process that was killed left.
    await mkdir(join(state, 'spill'), { recursive: true });
    await writeFile(join(state, 'spill', 'state-0-0-0.spill'), 'of another process');
    const job = await run(module, {
      workers: 2,
      trigger: '1s',
      epochBytes: EPOCH_BYTES,
      bounded: true,
      drain: 'emit',
      guarantee: 'exactly-once',
      checkpoint: { dir: state, interval: '20ms' },
      ...SPILLING,
      params: { dir: place, kind, isExact: true, dieAt: 18_000 },
    });
    job.on('warning', () => {});
    await job.done;
    assert.equal(job.progress().restarts, 1);
    assert.deepEqual(settled(kind, await written(join(place, 'out'))), plain.rows);
    assert.deepEqual(await leftIn(state), []);
  });
}

test('state that is damaged on disk ends the execution, and says where', async () => {
  const state = join(dir, 'damaged');
  const job = await start({ kind: 'tumbling windows' }, { ...SPILLING, checkpoint: { dir: state }, restarts: { times: 0 } });
  const spill = join(state, 'spill');
  let isOver = false;
  const done = job.done.finally(() => {
    isOver = true;
  });
  // Each epoch reads all of them.
  const damage = async (): Promise<void> => {
    while (!isOver) {
      for (const name of await readdir(spill).catch(() => [])) {
        const file = await open(join(spill, name), 'r+').catch(() => undefined);
        await file?.write(Uint8Array.of(0xa5), 0, 1, 100);
        await file?.close();
      }
    }
  };
  await Promise.all([
    assert.rejects(done, { code: 'ERR_MILLRACE_SPILL', message: /^State that was put away in ".*state-\d-0-\d+\.spill" is damaged/ }),
    damage(),
  ]);
  assert.deepEqual(await leftIn(state), []);
});

test('a file of a shard is believed only as it was written', async () => {
  const folder = join(dir, 'files');
  await mkdir(folder);
  const files = new SpillFiles(folder, 3);
  const bytes = Uint8Array.from({ length: 1_001 }, (_, i) => i * 7);
  const path = join(folder, 'state-3-1-63.spill');
  files.put(1, 63, bytes);
  assert.deepEqual(new Uint8Array(files.read(1, 63)), bytes);
  const whole = await readFile(path);
  const refused = { code: 'ERR_MILLRACE_SPILL', message: /is damaged/ };
  for (const at of [0, 5, 9, 13, 17, 21, 40, 1_000, 1_032]) {
    await writeFile(
      path,
      whole.map((byte, i) => (i === at ? byte ^ 16 : byte)),
    );
    assert.throws(() => files.read(1, 63), refused, `byte ${at}`);
  }
  for (const length of [0, 31, 32, 500, whole.length - 8, whole.length - 1]) {
    await writeFile(path, whole.subarray(0, length));
    assert.throws(() => files.read(1, 63), refused, `${length} bytes`);
  }
  files.drop(1, 63);
  assert.throws(() => files.read(1, 63), { code: 'ERR_MILLRACE_SPILL', message: /cannot be read: ENOENT/ });
  assert.throws(() => new SpillFiles(join(folder, 'gone'), 0).put(0, 0, bytes), { code: 'ERR_MILLRACE_SPILL', message: /cannot be written to .*ENOENT/ });
});

test('state that a view reads stays in memory, and the message says so', async () => {
  const job = await start({ kind: 'viewed' }, SPILLING);
  await assert.rejects(job.done, { code: 'ERR_MILLRACE_MEMORY', message: /are read by views \(job\.view\), and stay in memory/ });
});
