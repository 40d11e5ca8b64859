/** `millrace checkpoint inspect`: what is in a directory, while a job has it and when something is damaged. */

import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { CheckpointDir, describeInspection, inspectCheckpoints } from '../../runtime/checkpoint/index.ts';
import { manifestName } from '../../runtime/checkpoint/names.ts';
import type { Journal } from '../../runtime/epoch/index.ts';
import { segmentName } from '../../runtime/state-log/frames.ts';
import { manifestOf } from './checkpoint-manifests.ts';
import { runCli } from './cli-process.ts';

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** Two checkpoints of one run, a segment that none of them names, and a journal. The directory stays open. */
async function written(t: TestContext): Promise<CheckpointDir> {
  const dir = await CheckpointDir.open(await folder(t), 'p', () => {});
  t.after(() => dir.close());
  const record = (epoch: number): Parameters<Journal['append']>[0] => ({ epoch, startMs: 1, nowMs: 2, positions: [[0]], states: [[0]] });
  await dir.journal.begin({ pipeline: 'p', sources: ['log in-1'], base: { epoch: 4, nowMs: 0, positions: [[0]] } }, []);
  for (let epoch = 5; epoch <= 12; epoch++) await dir.journal.append(record(epoch), { sync: false });
  for (const sequence of [1, 2]) await writeFile(dir.path(segmentName({ run: 1, worker: 0, from: sequence })), Buffer.alloc(3_000));
  await dir.write(manifestOf({ run: 1, checkpoint: 5 }));
  await dir.write(manifestOf({ run: 1, checkpoint: 12 }));
  return dir;
}

test('what is in a directory, as text', async (t) => {
  const { dir } = await written(t);
  const found = await inspectCheckpoints(dir);
  assert.equal(
    describeInspection(found, manifestOf({ run: 1, checkpoint: 12 }).writtenAtMs + 90_000),
    `${dir}: pipeline p

checkpoint 12, run 1, 90 s old, 4096 bytes of state
  written by millrace 0.1.0; the run began from nothing
  source log in-1
    partition 0 at 120
    partition 1 at 7, drained at 9
  watermark 1 at 2025-10-09T08:36:40.000Z
    partition 0 has seen 2025-10-09T08:36:45.000Z, active
    partition 1 has seen no time yet, idle
  aggregate 1: 64 shards, 4096 bytes
  segment-00000001-000-0000000001.redo: epochs 0 to 12, 3000 bytes

checkpoint 5, run 1, 90 s old, 4096 bytes of state

1 segments that no checkpoint names (3000 bytes): the next one may, or a job removes them

journal: epochs 5 to 12`,
  );
});

/** A directory that a job has left, with two checkpoints. */
async function left(t: TestContext): Promise<string> {
  const dir = await folder(t);
  const golden = new URL('../golden/checkpoints/v0-node20/', import.meta.url);
  for (const name of await readdir(golden)) {
    if (name !== 'expected.json.gz') await writeFile(join(dir, name.replace(/\.gz$/, '')), gunzipSync(await readFile(new URL(name, golden))));
  }
  return dir;
}

test('the command needs no lock, changes nothing, and gives the same as JSON', async (t) => {
  const dir = await left(t);
  const before = (await readdir(dir)).sort();
  const [text, json] = await Promise.all([runCli(['checkpoint', 'inspect', dir]), runCli(['checkpoint', 'inspect', dir, '--json'])]);
  assert.deepEqual([text.code, text.stderr, json.code, json.stderr], [0, '', 0, '']);
  assert.match(text.stdout, /pipeline .*\n\ncheckpoint \d+, run 1, \d+ (d|h|min|s) old/);
  const found = JSON.parse(json.stdout) as { checkpoints: { checkpoint: number }[]; journal: unknown; damaged: unknown[] };
  const same = await inspectCheckpoints(dir);
  assert.equal(found.checkpoints.length, 2);
  assert.deepEqual(
    found.checkpoints.map(({ checkpoint }) => checkpoint),
    same.checkpoints.map(({ checkpoint }) => checkpoint),
  );
  assert.deepEqual([found.journal, found.damaged], [same.journal, []]);
  assert.deepEqual((await readdir(dir)).sort(), before);
});

test('damage to a segment is found, wherever it is, in the checkpoints that need the place', async (t) => {
  const dir = await left(t);
  const [name] = (await readdir(dir)).filter((file) => file.endsWith('.redo')).sort() as [string];
  const whole = await readFile(join(dir, name));
  const damages: [string, Buffer][] = [
    ['cut', whole.subarray(0, 10)],
    ['a bit in the middle', Buffer.from(whole.map((byte, at) => (at === whole.length >> 1 ? byte ^ 1 : byte)))],
    ['empty', Buffer.alloc(0)],
  ];
  for (const [what, bytes] of damages) {
    await writeFile(join(dir, name), bytes);
    const { code, stdout } = await runCli(['checkpoint', 'inspect', dir]);
    assert.equal(code, 1, what);
    assert.match(stdout, /^damaged: checkpoint-00000001-0000000000000004\.manifest: .*segment-.* is damaged/m, what);
  }
  await writeFile(join(dir, name), whole);
  assert.equal((await runCli(['checkpoint', 'inspect', dir])).code, 0);
});

test('what is damaged is shown, and is a failure', async (t) => {
  const dir = await left(t);
  await appendFile(join(dir, manifestName({ run: 1, checkpoint: 4 })), 'x');
  await writeFile(join(dir, 'epochs.journal'), 'x\n');
  const { code, stdout } = await runCli(['checkpoint', 'inspect', dir]);
  assert.equal(code, 1);
  assert.match(stdout, /^checkpoint 3, run 1/m);
  assert.match(stdout, /^damaged: checkpoint-00000001-0000000000000004\.manifest: \d+ bytes follow its first line/m);
  assert.match(stdout, /^damaged: epochs\.journal: .*its first line is broken/m);
});

test('an empty directory has no checkpoint; one that is not there is an error', async (t) => {
  const dir = await folder(t);
  assert.equal(describeInspection(await inspectCheckpoints(dir), 0), `${dir}: no checkpoint`);
  const { code, stdout } = await runCli(['checkpoint', 'inspect', dir]);
  assert.deepEqual([code, stdout], [1, `${dir}: no checkpoint\n`]);
  await assert.rejects(inspectCheckpoints(join(dir, 'none')), { code: 'ERR_MILLRACE_CHECKPOINT', message: /none cannot be read \(ENOENT/ });
});
