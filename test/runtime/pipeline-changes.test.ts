/**
 * A pipeline is changed between two runs over one checkpoint directory. What an operator has kept goes on, at whatever number the operator
 * is now; what would be lost is refused, and by name allowed.
 */

import assert from 'node:assert/strict';
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type AllowedChanges, type RunOptions, run } from '../../runtime/index.ts';
import { runCli } from './cli-process.ts';
import { results } from './pipelines/texts.ts';
import { writeTopic } from './topics.ts';

const module = new URL('./pipelines/changed.ts', import.meta.url);
const KEYS = 5;
const FIRST = 600;
const ALL = 1_000;
const rowAt = (id: number) => ({ id, key: `k${id % KEYS}`, n: id % 7, at: 10_000 + id * 10 });
const texts = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => JSON.stringify(rowAt(from + i)));
const all = Array.from({ length: ALL }, (_, id) => rowAt(id));
const total = (rows: readonly { readonly n: number }[]) => rows.reduce((sum, { n }) => sum + n, 0);

/** A folder in which the pipeline, as it was, has read the first rows. */
let origin = '';
before(async () => {
  origin = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  await writeTopic(origin, 'in', 2, texts(0, FIRST));
  await start(origin, '');
  await writeTopic(origin, 'in', 2, texts(FIRST, ALL), 1);
  await writeTopic(origin, 'other', 2, texts(FIRST, ALL));
});
after(() => rm(origin, { recursive: true, force: true }));

/** @returns what it has warned of that has to do with changes */
async function start(dir: string, what: string, allow?: AllowedChanges, options: RunOptions = {}): Promise<string> {
  const warnings: string[] = [];
  const warned = ({ message }: Error) => void (message.includes('since the checkpoint') && warnings.push(message));
  process.on('warning', warned);
  try {
    const job = await run(module, {
      workers: 2,
      trigger: 10,
      bounded: true,
      epochBytes: '4KiB',
      guarantee: 'exactly-once',
      checkpoint: { dir: join(dir, 'state'), interval: 1, ...(allow === undefined ? {} : { allow }) },
      ...options,
      params: { dir, what },
    });
    await job.done;
    await nextTurn();
  } finally {
    process.removeListener('warning', warned);
  }
  return warnings.join('\n');
}

/** A copy of the folder as the first run has left it. */
async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  await cp(origin, dir, { recursive: true });
  return dir;
}

type Out = Readonly<Record<string, number | string>>;
type Outputs = Readonly<Record<string, readonly Out[]>>;

/** What is in the topics that there are. */
async function outputs(dir: string): Promise<Outputs> {
  const topics = (await readdir(dir)).filter((name) => !['in', 'other', 'state'].includes(name));
  const job = await run(new URL('./pipelines/texts.ts', import.meta.url), { workers: 1, trigger: 'availableNow', params: { dir, topics } });
  await job.done;
  const rows = results.rows as readonly { readonly topic: string; readonly value: string }[];
  return Object.fromEntries(topics.map((topic) => [topic, rows.filter((row) => row.topic === topic).map(({ value }) => JSON.parse(value) as Out)]));
}

const keys = Array.from({ length: KEYS }, (_, k) => `k${k}`);
const of = (key: string, rows = all) => rows.filter((row) => row.key === key);

/** The last update of each key. */
function lastOf(out: readonly Out[]): Out[] {
  return keys.map(
    (key) =>
      out
        .filter((row) => row['key'] === key)
        .sort((a, b) => (a['rows'] as number) - (b['rows'] as number))
        .at(-1) as Out,
  );
}

/** Checks of outputs whose state has gone on. */
function countsGoOn(out: Outputs): void {
  const last = lastOf([...(out['counts'] ?? []), ...(out['counts-2'] ?? [])]);
  assert.deepEqual(
    last.map(({ rows, n }) => ({ rows, n })),
    keys.map((key) => ({ rows: of(key).length, n: total(of(key)) })),
  );
}

function numbersGoOn({ numbers: out = [] }: Outputs): void {
  for (const key of keys) {
    const numbers = out.filter((row) => row['key'] === key).map((row) => row['number'] as number);
    assert.deepEqual(
      numbers.sort((a, b) => a - b),
      of(key).map((_, i) => i + 1),
    );
  }
}

/** Windows that have closed, each once and whole. */
function windowsGoOn({ windows: out = [] }: Outputs, closedUntil: number): void {
  const expected = keys.flatMap((key) => {
    const starts = [...new Set(of(key).map(({ at }) => Math.floor(at / 400) * 400))].filter((from) => from + 400 <= closedUntil);
    return starts.map((from) => {
      const inside = of(key).filter(({ at }) => at >= from && at < from + 400);
      return { key, windowStart: from, windowEnd: from + 400, rows: inside.length, n: total(inside) };
    });
  });
  const sorted = (rows: readonly Out[]) => rows.map((row) => `${row['key']} ${row['windowStart']} ${row['rows']} ${row['n']}`).sort();
  assert.deepEqual(sorted(out), sorted(expected));
}

/** Time at the end: partitions that were read to their end hold nothing back. */
const LAST = 10_000 + (ALL - 1) * 10;

test('edits that are no concern of the state change nothing: sinks, functions behind and before, columns, the order of branches', async (t) => {
  const dir = await folder(t);
  assert.equal(await start(dir, 'copy behind renamed wide'), '');
  // And the other way round, once more, where what comes first has other numbers now.
  assert.match(await start(dir, 'order filter'), /aggregate 1 keeps its state \(it was aggregate 2\), though its rows come another way now/);
  const out = await outputs(dir);
  countsGoOn(out);
  numbersGoOn(out);
  windowsGoOn(out, LAST);
  assert.equal(out['copy']?.length, ALL - FIRST);
});

test('a delay that grows: windows go on, and time does not go back', async (t) => {
  const dir = await folder(t);
  const options = { guarantee: 'at-least-once' } as const;
  const warnings = await start(dir, 'delay', undefined, options);
  assert.match(warnings, /watermark 1 has changed \(delayMs was 0, is 500\): it goes on from the time that it had reached/);
  // The second start finds a watermark that had to catch up.
  assert.equal(await start(dir, 'delay', undefined, options), '');
  const out = await outputs(dir);
  countsGoOn(out);
  // What the end of the first run had closed before its time comes once more, as it was.
  const texts = [...new Set(out['windows']?.map((row) => JSON.stringify(row)))];
  windowsGoOn({ windows: texts.map((text) => JSON.parse(text) as Out) }, LAST - 500);
});

test('a new operator with state is refused, as it would not see what was read; allowed, it sees the rest', async (t) => {
  const dir = await folder(t);
  await assert.rejects(start(dir, 'reduce'), {
    code: 'ERR_MILLRACE_CHECKPOINT',
    message:
      /new, would see only rows from now on: reduce 1; kept: aggregate 1, aggregate 2, process 1\..*allow: \{ new: \['reduce 1'\] \}.*--allow "new=reduce 1"/,
  });
  assert.match(await start(dir, 'reduce', { new: ['reduce 1'] }), /reduce 1 is new: it begins empty, and sees only rows from now on/);
  const out = await outputs(dir);
  countsGoOn(out);
  numbersGoOn(out);
  windowsGoOn(out, LAST);
  for (const key of keys) {
    const reduced = (out['reduced'] ?? []).filter((row) => row['key'] === key);
    assert.ok(reduced.length > 0 && Math.max(...reduced.map(({ n }) => n as number)) < total(of(key)));
  }
  // It is kept from now on, without the option.
  assert.equal(await start(dir, 'reduce'), '');
});

test('state whose operator is gone or changed is refused, and let go by name', async (t) => {
  const dir = await folder(t);
  const message = /dropped: aggregate 2; kept: aggregate 1, process 1.*allow: \{ dropped: \['aggregate 2'\] \}/;
  await assert.rejects(start(dir, 'dropped'), { code: 'ERR_MILLRACE_CHECKPOINT', message });
  await assert.rejects(start(dir, 'dropped', { dropped: ['aggregate 1'], changed: true, new: true }), { code: 'ERR_MILLRACE_CHECKPOINT', message });
  await assert.rejects(start(dir, 'size'), {
    message: /changed: aggregate 2 \(window\.shape\.sizeMs was 400, is 800\); kept: aggregate 1, process 1.*--allow "changed=aggregate 2"/,
  });
  const args = ['run', fileURLToPath(module), '--workers', '2', '--trigger', 'availableNow', '--checkpoint', join(dir, 'state'), '--guarantee', 'exactly-once'];
  const given = ['--param', `dir=${dir}`, '--param', 'what=size'];
  assert.match((await runCli([...args, '--allow', 'dropped', '--allow', 'changed=aggregate 1', ...given])).stderr, /changed: aggregate 2/);
  assert.equal((await runCli([...args, '--allow', 'gone', ...given])).code, 2);
  const { code, stderr } = await runCli([...args, '--allow', 'changed=aggregate 1', '--allow', 'changed=aggregate 2', ...given]);
  assert.equal(code, 0, stderr);
  assert.match(stderr, /aggregate 2 begins empty: it has changed/);
  assert.match(await start(dir, 'dropped', { dropped: true }), /aggregate 2 is gone, and with it its state/);
  const out = await outputs(dir);
  countsGoOn(out);
  numbersGoOn(out);
});

test('equal operators are told apart by what is above and below them, or not at all', async (t) => {
  const dir = await folder(t);
  await start(dir, 'twin', { new: ['aggregate 3'] });
  // The twin, and what its counts go to, is gone; the other one keeps its state.
  await assert.rejects(start(dir, ''), { message: /dropped: aggregate 3; kept: aggregate 1, aggregate 2, process 1/ });
  // Here both what is above and the name below are others: nobody knows which of the two is left.
  await assert.rejects(start(dir, 'filter renamed'), { message: /cannot be told apart: aggregate 1, aggregate 3, aggregate 1; kept: aggregate 2, process 1/ });
  await start(dir, 'filter renamed', { dropped: ['aggregate 3'] });
  countsGoOn(await outputs(dir));
});

test('positions belong to a source by its name; state goes on with rows of another one', async (t) => {
  const dir = await folder(t);
  await assert.rejects(start(dir, 'topic'), { message: /dropped: source 1 \(.*in.*\); kept: .*allow: \{ dropped: \['source 1'\] \}/ });
  const warnings = await start(dir, 'topic', { dropped: ['source 1'] }, { guarantee: 'at-least-once' });
  assert.match(warnings, /source 1 \(.*in.*\) is gone, and with it its positions/);
  assert.match(warnings, /source 1 \(.*other.*\) is new, and is read from where it starts by itself/);
  const out = await outputs(dir);
  // All but the last epoch of the first run, which is not in its state, went on.
  const last = lastOf(out['counts'] as readonly Out[]);
  for (const { rows, key } of last) assert.ok((rows as number) > of(key as string, all.slice(FIRST)).length, `${key}: ${rows}`);
  assert.equal(new Set(out['numbers']?.map(({ id }) => id)).size, ALL);
});

test('state of process() of an earlier version goes through migrate, and is refused without', async (t) => {
  const dir = await folder(t);
  await assert.rejects(start(dir, 'version'), {
    message: /changed: process 1 \(of\.version was 1, is 2\).*For state of process\(\) that can be converted, give it version and migrate/,
  });
  assert.equal(await start(dir, 'migrate'), '');
  // It is of version 2 now, whether it could be migrated or not; and an earlier one cannot read it.
  assert.equal(await start(dir, 'version'), '');
  await assert.rejects(start(dir, ''), { message: /changed: process 1 \(of\.version was 2, is 1\)/ });
  const out = await outputs(dir);
  numbersGoOn(out);
  countsGoOn(out);
});
