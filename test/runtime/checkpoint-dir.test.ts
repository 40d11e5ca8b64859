/** A checkpoint directory on a real disk: what a restart finds, what is removed, who may have it. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type MillraceError, seededRng } from '../../core/index.ts';
import { CheckpointDir, type Manifest } from '../../runtime/checkpoint/index.ts';
import { manifestName } from '../../runtime/checkpoint/names.ts';
import { lockFolder, NodeDisk } from '../../runtime/disk/index.ts';
import type { JournalHead, JournalRecord } from '../../runtime/epoch/index.ts';
import { segmentName } from '../../runtime/state-log/frames.ts';
import { effortCount, seedOf } from '../seed.ts';
import { TYPESCRIPT } from '../typescript.ts';
import { manifestOf, planOf, sealed } from './checkpoint-manifests.ts';

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

async function opened(dir: string, warnings: string[] = []): Promise<CheckpointDir> {
  return CheckpointDir.open(dir, 'p', (message) => warnings.push(message));
}

/** Opens the directory as a run of its own, and closes it. */
async function seen(dir: string): Promise<{ checkpoints: string[]; warnings: string[]; run: number; damaged: CheckpointDir['damaged'] }> {
  const warnings: string[] = [];
  const found = await opened(dir, warnings);
  await found.close();
  return { checkpoints: found.candidates().map(({ run, checkpoint }) => `${run}:${checkpoint}`), warnings, run: found.run, damaged: found.damaged };
}

/** A segment as a worker would leave it. */
async function segment(dir: CheckpointDir, sequence: number, writer = 0): Promise<string> {
  const name = segmentName({ run: dir.run, worker: writer, from: sequence });
  await writeFile(dir.path(name), `${name}\n`, { flag: 'a' });
  return name;
}

/** Writes a checkpoint that names these segments of the run, or its first. */
async function checkpoint(dir: CheckpointDir, number: number, of: Partial<Manifest> = {}): Promise<void> {
  const segments = of.segments ?? [{ name: await segment(dir, 1), from: 0, to: number }];
  await dir.write(manifestOf({ run: dir.run, checkpoint: number, from: of.from ?? null, ...of, segments }));
}

async function run(dir: string, checkpoints: readonly number[], of: Partial<Manifest> = {}): Promise<void> {
  const open = await opened(dir);
  for (const number of checkpoints) await checkpoint(open, number, of);
  await open.close();
}

const file = (dir: string, ofRun: number, number: number) => join(dir, manifestName({ run: ofRun, checkpoint: number }));
const names = async (dir: string) => (await readdir(dir)).sort();

describe('what a restart finds', () => {
  test('a directory that is not there is made; without checkpoints there is nothing to go on from', async (t) => {
    const dir = join(await folder(t), 'made', 'as-needed');
    assert.deepEqual(await seen(dir), { checkpoints: [], warnings: [], run: 1, damaged: [] });
    assert.deepEqual(await names(dir), []);
  });

  test('the newest checkpoint first, as it was written', async (t) => {
    const dir = await folder(t);
    const open = await opened(dir);
    await checkpoint(open, 5);
    await checkpoint(open, 12);
    const written = open.candidates();
    assert.deepEqual(
      written.map(({ checkpoint: number }) => number),
      [12, 5],
    );
    await open.close();
    const again = await opened(dir);
    assert.deepEqual(again.candidates(), written);
    assert.deepEqual(await again.segments(), [segmentName({ run: 1, worker: 0, from: 1 })]);
    assert.equal(again.run, 2);
    await again.close();
  });

  test('a run is greater than that of any file, damaged or left behind', async (t) => {
    const dir = await folder(t);
    await run(dir, [3]);
    await writeFile(join(dir, segmentName({ run: 7, worker: 0, from: 1 })), '');
    assert.equal((await seen(dir)).run, 8);
    await writeFile(file(dir, 9, 4), 'nothing');
    assert.equal((await seen(dir)).run, 10);
  });

  test('of an earlier run only what the later one goes back to', async (t) => {
    const dir = await folder(t);
    await run(dir, [10, 20, 30, 40]);
    // 30 and 40 came from a process that had been superseded, or were given up.
    await run(dir, [25, 35], { from: { run: 1, checkpoint: 20 } });
    assert.deepEqual((await seen(dir)).checkpoints, ['2:35', '2:25', '1:20', '1:10']);
    await run(dir, [36], { from: { run: 2, checkpoint: 35 } });
    await run(dir, [30], { from: { run: 2, checkpoint: 25 } });
    assert.deepEqual((await seen(dir)).checkpoints, ['4:30', '2:25', '1:20', '1:10']);
    await run(dir, [1]);
    assert.deepEqual((await seen(dir)).checkpoints, ['5:1']);
  });

  test('the one before a damaged one, with a warning that says so', async (t) => {
    const dir = await folder(t);
    await run(dir, [5, 12]);
    const path = file(dir, 1, 12);
    const whole = await readFile(path);
    const rng = seededRng(seedOf(5));
    for (let i = 0; i < effortCount(30); i++) {
      rng.seek(i);
      const bytes = Buffer.from(i % 2 === 0 ? whole.subarray(0, rng.int(whole.length)) : whole);
      if (i % 2 === 1) {
        const bit = rng.int(whole.length * 8);
        bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
      }
      await writeFile(path, bytes);
      const { checkpoints, warnings, damaged } = await seen(dir);
      assert.deepEqual(checkpoints, ['1:5'], `case ${i}`);
      assert.deepEqual(
        damaged.map((one) => one.file),
        [manifestName({ run: 1, checkpoint: 12 })],
      );
      assert.equal(warnings.length, 1);
      assert.match(
        warnings[0] as string,
        /-0000000000000012\.manifest \(.+\)\. The one before it is taken, checkpoint 5: what came in behind that is read and/,
      );
    }
    await writeFile(path, whole);
    assert.deepEqual((await seen(dir)).checkpoints, ['1:12', '1:5']);
    await writeFile(file(dir, 1, 5), '');
    const { checkpoints, warnings } = await seen(dir);
    assert.deepEqual(checkpoints, ['1:12']);
    assert.match(warnings.join(), /it is empty\)\. It is not needed now, as checkpoint 12 is newer and whole/);
  });

  test('a manifest under another name, or without its segments, is damaged', async (t) => {
    const dir = await folder(t);
    await run(dir, [5]);
    await copyFile(file(dir, 1, 5), file(dir, 1, 6));
    assert.match((await seen(dir)).warnings.join(), /it is that of checkpoint 5 of run 1/);
    await rm(file(dir, 1, 6));
    await run(dir, [12], { from: { run: 1, checkpoint: 5 } });
    await rm(join(dir, segmentName({ run: 2, worker: 0, from: 1 })));
    const { checkpoints, warnings } = await seen(dir);
    assert.deepEqual(checkpoints, ['1:5']);
    assert.match(warnings.join(), /its segment segment-00000002-000-0000000001\.redo is missing/);
  });

  test('when none is whole, the job does not begin anew', async (t) => {
    const dir = await folder(t);
    await run(dir, [5, 12]);
    await writeFile(file(dir, 1, 5), 'x');
    await writeFile(file(dir, 1, 12), 'y');
    await assert.rejects(opened(dir), {
      code: 'ERR_MILLRACE_CORRUPT',
      message: /None of the checkpoints in .* is whole: .*0012\.manifest \(.*0005\.manifest \(.*\)\. Restore the files\. .*give another directory\.$/,
    });
    assert.ok(!(await names(dir)).includes('job.held'), 'the lock is given back');
  });

  test('what another pipeline, or a later version, wrote is refused by name', async (t) => {
    const dir = await folder(t);
    await run(dir, [5], { plan: { format: 2, plan: planOf('clicks') } });
    await assert.rejects(opened(dir), {
      code: 'ERR_MILLRACE_CHECKPOINT',
      message: /are of the pipeline "clicks", not of "p"\. Give each pipeline a directory/,
    });
    await rm(file(dir, 1, 5));
    await run(dir, [6]);
    await writeFile(file(dir, 2, 7), sealed('{}', 3));
    await assert.rejects(opened(dir), { code: 'ERR_MILLRACE_CHECKPOINT', message: /0007\.manifest has the format 3; this version of millrace reads 1/ });
  });
});

describe('what is removed', () => {
  test('all but the newest two, their segments, and what crashes left; not what may yet be named', async (t) => {
    const dir = await folder(t);
    await run(dir, [10, 20]);
    const open = await opened(dir);
    const from = { run: 1, checkpoint: 20 };
    const old = { name: segmentName({ run: 1, worker: 0, from: 1 }), from: 0, to: 20 };
    await writeFile(`${file(dir, 2, 21)}.new`, 'torn');
    await writeFile(join(dir, 'notes.txt'), 'of somebody else');
    const [a1, a2, a3, b1, b2] = [await segment(open, 1), await segment(open, 2), await segment(open, 3), await segment(open, 1, 1), await segment(open, 2, 1)];
    await checkpoint(open, 30, { from, segments: [old, { name: a1, from: 21, to: 30 }] });
    await open.prune(2);
    assert.deepEqual(
      open.candidates().map(({ checkpoint: number }) => number),
      [30, 20],
    );
    const rest = ['epochs.journal', 'job.held', 'notes.txt'];
    const there = async () => (await names(dir)).filter((name) => !rest.includes(name));
    const manifestsOf = (...ids: [number, number][]) => ids.map(([of, number]) => manifestName({ run: of, checkpoint: number }));
    assert.deepEqual(await there(), [...manifestsOf([1, 20], [2, 30]), old.name, a1, a2, a3, b1, b2]);
    await checkpoint(open, 40, { from, segments: [{ name: a2, from: 31, to: 40 }] });
    await open.prune(2);
    assert.deepEqual(await there(), [...manifestsOf([2, 30], [2, 40]), old.name, a1, a2, a3, b1, b2]);
    await checkpoint(open, 50, { from, segments: [{ name: a2, from: 31, to: 50 }] });
    await open.prune(2);
    // a1 is closed, as a2 is named. Of writer 1 nothing is named yet.
    assert.deepEqual(await there(), [...manifestsOf([2, 40], [2, 50]), a2, a3, b1, b2]);
    assert.ok((await names(dir)).includes('notes.txt'));
    await open.close();
    assert.deepEqual((await seen(dir)).checkpoints, ['2:50', '2:40']);
  });

  test('what is damaged stays, with its segments, until two newer ones are whole', async (t) => {
    const dir = await folder(t);
    await run(dir, [10, 20]);
    await run(dir, [30], { from: { run: 1, checkpoint: 20 } });
    await writeFile(file(dir, 2, 30), 'x');
    await rm(file(dir, 1, 10));
    const left = await names(dir);
    const open = await opened(dir);
    await open.prune(2);
    assert.deepEqual(
      (await names(dir)).filter((name) => name !== 'job.held'),
      left,
    );
    await checkpoint(open, 25, { from: { run: 1, checkpoint: 20 } });
    await checkpoint(open, 35, { from: { run: 1, checkpoint: 20 } });
    await open.prune(2);
    await open.close();
    assert.deepEqual(await names(dir), [
      manifestName({ run: 3, checkpoint: 25 }),
      manifestName({ run: 3, checkpoint: 35 }),
      segmentName({ run: 3, worker: 0, from: 1 }),
    ]);
  });
});

const head: JournalHead = { pipeline: 'p', sources: ['log in-1'], base: { epoch: -1, nowMs: 0, positions: [[0]] } };
const record = (epoch: number): JournalRecord => ({ epoch, startMs: epoch, nowMs: epoch + 1, positions: [[10 * (epoch + 1)]], states: [[0]] });

describe('the journal in it', () => {
  test('keeps what a restart from the older of the checkpoints needs, whatever was committed', async (t) => {
    const dir = await folder(t);
    const open = await opened(dir);
    const { journal } = open;
    await journal.begin(head, []);
    for (let epoch = 0; epoch < 30; epoch++) {
      await journal.append(record(epoch), { sync: false });
      if (epoch % 10 === 9) {
        await checkpoint(open, epoch);
        await open.prune(2);
        journal.trim(epoch);
      }
    }
    await open.close();
    const again = await opened(dir);
    assert.deepEqual(
      again.candidates().map(({ checkpoint: number }) => number),
      [29, 19],
    );
    assert.deepEqual(
      again.journal.records.slice(-10),
      Array.from({ length: 10 }, (_, i) => record(20 + i)),
    );
    // As many as make it write its file anew, whose begin is then behind the older one.
    await again.journal.begin(again.journal.head as JournalHead, [...again.journal.records, ...Array.from({ length: 1_100 }, (_, i) => record(30 + i))]);
    again.journal.trim(1_100);
    await again.close();
    const third = await opened(dir);
    assert.equal(third.journal.records.length, 1_130);
    await checkpoint(third, 1_099);
    await third.prune(2);
    await third.journal.begin(third.journal.head as JournalHead, third.journal.records);
    await checkpoint(third, 1_109);
    await third.prune(2);
    third.journal.trim(1_120);
    await third.close();
    const fourth = await opened(dir);
    assert.equal(fourth.journal.head?.base.epoch, 1_099);
    assert.deepEqual(
      fourth.journal.records,
      Array.from({ length: 30 }, (_, i) => record(1_100 + i)),
    );
    await fourth.close();
  });

  test('that is damaged is refused, and the lock is given back', async (t) => {
    const dir = await folder(t);
    await writeFile(join(dir, 'epochs.journal'), 'x\n');
    await assert.rejects(opened(dir), { code: 'ERR_MILLRACE_CORRUPT', message: /journal/ });
    assert.deepEqual(await names(dir), ['epochs.journal']);
  });
});

describe('while the job runs', () => {
  const lost = { code: 'ERR_MILLRACE_CHECKPOINT', message: /was removed, replaced, or taken by another process while the job ran/ };

  test('a directory that is removed or replaced ends it, and nothing is written elsewhere', async (t) => {
    for (const isReplaced of [false, true]) {
      const dir = join(await folder(t), 'state');
      const open = await opened(dir);
      await checkpoint(open, 1);
      await rename(dir, `${dir}.gone`);
      if (isReplaced) await mkdir(dir);
      await assert.rejects(open.write(manifestOf({ run: 1, checkpoint: 2 })), lost);
      await assert.rejects(open.prune(2), lost);
      await open.close();
      assert.deepEqual(await names(join(dir, '..')), isReplaced ? ['state', 'state.gone'] : ['state.gone']);
      if (isReplaced) assert.deepEqual(await names(dir), []);
      await rm(dir, { recursive: true, force: true });
      await rename(`${dir}.gone`, dir);
      // As if the process had ended.
      await rm(join(dir, 'job.held'), { recursive: true });
      assert.deepEqual((await seen(dir)).checkpoints, ['1:1']);
    }
  });

  test('who loses the lock in the middle of a write is told so, and not that a file is gone', async (t) => {
    const dir = await folder(t);
    // Stopped between the check and the rename; meanwhile a successor has the directory, and has cleaned it.
    const disk = new NodeDisk(dir);
    const lock = await lockFolder(dir, 'clicks');
    const zombie = await CheckpointDir.on(disk, 'clicks', () => {}, lock);
    const original = disk.rename.bind(disk);
    disk.rename = async (from, to) => {
      if (to.endsWith('.manifest')) {
        await rm(join(dir, 'job.held'), { recursive: true });
        await rm(join(dir, from));
      }
      return original(from, to);
    };
    await assert.rejects(zombie.write(manifestOf({ run: 1, checkpoint: 1, segments: [] })), lost);
    await zombie.close();
  });

  test('who has lost the lock to another writes nothing more', async (t) => {
    const dir = await folder(t);
    const zombie = await opened(dir);
    await checkpoint(zombie, 1);
    // Somebody deletes the lock by hand, although its holder is alive.
    await rm(join(dir, 'job.held'), { recursive: true });
    const successor = await opened(dir);
    assert.equal(successor.run, 2);
    await assert.rejects(checkpoint(zombie, 2), lost);
    await checkpoint(successor, 2, { from: { run: 1, checkpoint: 1 } });
    await zombie.close();
    assert.ok((await names(dir)).includes('job.held'), 'the lock of the successor stays');
    await successor.close();
    assert.deepEqual((await seen(dir)).checkpoints, ['2:2', '1:1']);
  });

  test('a segment that is gone is named', async (t) => {
    const dir = await folder(t);
    const open = await opened(dir);
    await checkpoint(open, 1);
    await rm(open.path(segmentName({ run: 1, worker: 0, from: 1 })));
    await assert.rejects(open.write(manifestOf({ run: 1, checkpoint: 2 })), {
      code: 'ERR_MILLRACE_CHECKPOINT',
      message: /segment-00000001-000-0000000001\.redo was removed while the job ran: checkpoint 2 cannot be written\. The checkpoint before stays/,
    });
    await open.close();
    await assert.rejects(open.write(manifestOf({ run: 1, checkpoint: 3 })), /was removed|is closed/);
  });

  test('writes that overlap come one after the other', async (t) => {
    const dir = await folder(t);
    const open = await opened(dir);
    await segment(open, 1);
    await Promise.all([1, 2, 3, 4].flatMap((number) => [open.write(manifestOf({ run: 1, checkpoint: number })), open.prune(2)]));
    await open.close();
    assert.deepEqual((await seen(dir)).checkpoints, ['1:4', '1:3']);
  });
});

describe('one process', () => {
  /** Opens a directory and keeps it until it is killed. */
  const HOLDER = `
    import { CheckpointDir } from ${JSON.stringify(new URL('../../runtime/checkpoint/index.ts', import.meta.url).href)};
    await CheckpointDir.open(process.argv[1], 'p', () => {});
    console.log('open');
    setInterval(() => {}, 1000);
  `;

  async function holder(t: TestContext, dir: string) {
    const root = fileURLToPath(new URL('../..', import.meta.url));
    const child = spawn(process.execPath, [...TYPESCRIPT, '--input-type=module', '-e', HOLDER, dir], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => child.kill('SIGKILL'));
    await once(createInterface(child.stdout), 'line');
    return child;
  }

  test('has it: others are told which, and may wait until it is killed', async (t) => {
    const dir = await folder(t);
    const child = await holder(t, dir);
    await assert.rejects(opened(dir), (error: MillraceError) => {
      assert.equal(error.code, 'ERR_MILLRACE_CHECKPOINT');
      assert.match(error.message, new RegExp(`in use by process ${child.pid}, for the pipeline "p"`));
      return true;
    });
    const holders: string[] = [];
    let standby: Promise<CheckpointDir> | undefined;
    await new Promise<void>((resolve) => {
      const waiting = (text: string) => {
        holders.push(text);
        resolve();
      };
      standby = CheckpointDir.open(dir, 'p', () => {}, { wait: new AbortController().signal, waiting });
    });
    child.kill('SIGKILL');
    const open = (await standby) as CheckpointDir;
    assert.equal(holders.length, 1);
    assert.match(holders[0] as string, new RegExp(`process ${child.pid}, for the pipeline "p"`));
    await checkpoint(open, 1);
    await open.close();
  });

  test('may stop waiting, and leaves nothing behind', async (t) => {
    const dir = await folder(t);
    const open = await opened(dir);
    const abort = new AbortController();
    const waiting = CheckpointDir.open(dir, 'p', () => {}, { wait: abort.signal, waiting: () => abort.abort(new Error('enough')) });
    await assert.rejects(waiting, /^Error: enough$/);
    await assert.rejects(
      CheckpointDir.open(dir, 'p', () => {}, { wait: AbortSignal.abort(new Error('before')) }),
      /^Error: before$/,
    );
    assert.deepEqual(await names(dir), ['job.held']);
    await open.close();
  });
});
