/** The journal: its file, whatever happens to it; its lock; the clock; and which epochs a restart repeats. */

import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { MillraceError } from '../../core/index.ts';
import { JobClock } from '../../runtime/epoch/job-clock.ts';
import { JOURNAL_FILE, Journal, type JournalHead, type JournalRecord, readJournal } from '../../runtime/epoch/journal.ts';
import { planReplay, type ReplayStart } from '../../runtime/epoch/replay.ts';
import { PARTITION_ACTIVE, PARTITION_IDLE } from '../../runtime/shared/partition-codes.ts';
import { fc } from '../seed.ts';
import { TYPESCRIPT } from '../typescript.ts';
import { startProcess } from './cli-process.ts';

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

const head: JournalHead = { pipeline: 'p', sources: ['log in'], base: { epoch: -1, nowMs: 90, positions: [[0, 5]] } };

/** Epoch n: partition 0 has come to 10 rows an epoch, partition 1 stands still and is idle from epoch 2 on. */
function record(epoch: number): JournalRecord {
  return {
    epoch,
    startMs: 100 * epoch + 91,
    nowMs: 100 * (epoch + 1),
    positions: [[10 * (epoch + 1), 5]],
    states: [[PARTITION_ACTIVE, epoch < 2 ? PARTITION_ACTIVE : PARTITION_IDLE]],
  };
}
const records = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => record(from + i));

async function written(dir: string, count: number): Promise<string> {
  const journal = await Journal.open(dir, 'p');
  await journal.begin(head, []);
  for (const one of records(0, count)) await journal.append(one);
  await journal.close();
  return journal.path;
}

async function read(dir: string): Promise<Pick<Journal, 'head' | 'records'>> {
  const {
    head: found,
    records: all,
    ...rest
  } = await Journal.open(dir, 'p').then(async (journal) => {
    await journal.close();
    return journal;
  });
  void rest;
  return { head: found, records: all };
}

describe('the file', () => {
  test('gives back what was appended, over restarts, and leaves no other file', async (t) => {
    const dir = join(await folder(t), 'made', 'as-needed');
    await written(dir, 3);
    const again = await Journal.open(dir, 'p');
    assert.deepEqual(again.head, head);
    assert.deepEqual(again.records, records(0, 3));
    await again.begin(head, again.records);
    await Promise.all(records(3, 6).map((one) => again.append(one)));
    await again.close();
    assert.deepEqual((await read(dir)).records, records(0, 6));
    assert.deepEqual(await readdir(dir), [JOURNAL_FILE]);
  });

  test('a record is in the file when append resolves', async (t) => {
    const dir = await folder(t);
    const journal = await Journal.open(dir, 'p');
    await journal.begin(head, []);
    await journal.append(record(0));
    assert.match(
      await readFile(journal.path, 'utf8'),
      /^millrace journal 2, epochs before 0000000000000001 are acknowledged, [0-9a-f]{8}\n[0-9a-f]{8} \{"number":0,.*\n[0-9a-f]{8} \{"number":1,.*"epoch":0,.*\n$/,
    );
    await journal.close();
  });

  /**
   * A journal of 4 records, the last of them acknowledged or not; and what a restart may make of it when something has happened to the
   * file. Right is what the job knows to be true: all that was acknowledged, and beyond it true records only.
   */
  async function damaged(t: TestContext, isAcknowledged: boolean): Promise<{ whole: Buffer; judge: (bytes: Uint8Array, what: string) => 'refused' | 'right' }> {
    const dir = await folder(t);
    const path = await written(dir, 4);
    let whole = await readFile(path);
    if (!isAcknowledged) {
      // As a crash between the sync of the last record and its acknowledgement leaves it.
      const other = await readFile(await written(await folder(t), 3));
      const end = whole.indexOf(0x0a) + 1;
      whole = Buffer.concat([other.subarray(0, end), whole.subarray(end)]);
    }
    const judge = (bytes: Uint8Array, what: string) => {
      let found: Pick<Journal, 'head' | 'records'>;
      try {
        found = readJournal(path, bytes);
      } catch (error) {
        assert.ok(error instanceof MillraceError, what);
        assert.match(error.code, /^ERR_MILLRACE_(CORRUPT|CHECKPOINT)$/, what);
        assert.match(error.message, /epochs\.journal.*(Restore the file.*delete it|another directory)/, what);
        return 'refused';
      }
      assert.deepEqual(found.head, head, what);
      assert.deepEqual(found.records, records(0, found.records.length), what);
      assert.ok(found.records.length <= 4 && found.records.length >= (isAcknowledged ? 4 : 3), `${what}: ${found.records.length} records`);
      return 'right';
    };
    return { whole, judge };
  }

  for (const isAcknowledged of [true, false]) {
    const which = isAcknowledged ? 'acknowledged' : 'not acknowledged';

    test(`every bit flipped, the last record ${which}: refused, or nothing that counts is missing`, async (t) => {
      const { whole, judge } = await damaged(t, isAcknowledged);
      const lastLine = whole.lastIndexOf(0x0a, whole.length - 2) + 1;
      for (let bit = 0; bit < whole.length * 8; bit++) {
        const bytes = Buffer.from(whole);
        bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
        const verdict = judge(bytes, `bit ${bit & 7} of byte ${bit >> 3}`);
        // Only a record that nobody had acknowledged may be taken for one that a crash tore.
        assert.equal(verdict, isAcknowledged || bit >> 3 < lastLine ? 'refused' : 'right', `bit ${bit & 7} of byte ${bit >> 3}`);
      }
      assert.equal(judge(whole, 'whole'), 'right');
    });

    test(`cut off at every length, the last record ${which}`, async (t) => {
      const { whole, judge } = await damaged(t, isAcknowledged);
      const lastLine = whole.lastIndexOf(0x0a, whole.length - 2) + 1;
      for (let length = 0; length < whole.length; length++) {
        assert.equal(judge(whole.subarray(0, length), `${length} bytes`), isAcknowledged || length < lastLine ? 'refused' : 'right', `${length} bytes`);
      }
    });

    test(`lines removed, doubled, swapped, or of another journal, the last record ${which}`, async (t) => {
      const { whole, judge } = await damaged(t, isAcknowledged);
      const lines = whole.toString('utf8').trimEnd().split('\n');
      const other = await folder(t);
      const journal = await Journal.open(other, 'p');
      await journal.begin(head, []);
      for (const one of records(0, 4)) await journal.append({ ...one, startMs: one.startMs + 1 });
      await journal.close();
      const others = (await readFile(journal.path, 'utf8')).trimEnd().split('\n');
      const judgeLines = (changed: readonly string[], what: string) => judge(Buffer.from(changed.map((text) => `${text}\n`).join('')), what);
      for (let i = 0; i < lines.length; i++) {
        const isHarmless = !isAcknowledged && i === lines.length - 1;
        assert.equal(judgeLines(lines.toSpliced(i, 1), `without line ${i}`), isHarmless ? 'right' : 'refused');
        assert.equal(judgeLines(lines.toSpliced(i, 0, lines[i] as string), `line ${i} twice`), 'refused');
        // The first line, and the head, are the same in both.
        if (i > 1) assert.equal(judgeLines(lines.with(i, others[i] as string), `line ${i} of another`), 'refused');
        for (let j = 0; j < i; j++) {
          assert.equal(judgeLines(lines.with(i, lines[j] as string).with(j, lines[i] as string), `lines ${j} and ${i} swapped`), 'refused');
        }
      }
    });
  }

  test('a torn record behind the acknowledged ones is dropped, whatever is left of it, and the next run goes on behind them', async (t) => {
    const dir = await folder(t);
    const path = await written(dir, 2);
    for (const tail of ['0000', '\0\0\0\0', '00000000 {"epoch":2}\n', 'garbage\nmore\n', `${'f'.repeat(8)} {}\n`]) {
      await appendFile(path, tail);
      assert.deepEqual((await read(dir)).records, records(0, 2), JSON.stringify(tail));
      const journal = await Journal.open(dir, 'p');
      await journal.begin(head, journal.records);
      await journal.append(record(2));
      await journal.close();
      const longer = await Journal.open(dir, 'p');
      assert.deepEqual(longer.records, records(0, 3));
      await longer.begin(head, records(0, 2));
      await longer.close();
    }
  });

  test('of the version before: refused by name', async (t) => {
    const dir = await folder(t);
    await writeFile(join(dir, JOURNAL_FILE), '83e9db75 {"format":1,"pipeline":"p"}\n');
    await assert.rejects(Journal.open(dir, 'p'), { code: 'ERR_MILLRACE_CHECKPOINT', message: /has the format 1; this version reads 2/ });
    assert.deepEqual(await readdir(dir), [JOURNAL_FILE], 'a refusal leaves no lock behind');
  });

  test('stays small when epochs are committed, and begins where the last commit was', async (t) => {
    const dir = await folder(t);
    const journal = await Journal.open(dir, 'p');
    await journal.begin(head, []);
    let most = 0;
    for (let epoch = 0; epoch < 2_300; epoch++) {
      const done = journal.append(record(epoch));
      if (epoch % 300 === 0) {
        await done;
        most = Math.max(most, (await stat(journal.path)).size);
      }
      if (epoch >= 3) journal.trim(epoch - 3);
    }
    await journal.close();
    assert.ok(most < 200_000, `${most} bytes`);
    const found = await read(dir);
    assert.deepEqual(found.records, records(found.records[0]?.epoch as number, 2_300));
    assert.ok(found.records.length < 1_100);
    assert.deepEqual(found.head?.base, {
      epoch: (found.records[0]?.epoch as number) - 1,
      nowMs: record((found.records[0]?.epoch as number) - 1).nowMs,
      positions: record((found.records[0]?.epoch as number) - 1).positions,
    });
  });

  test('not to be written, or removed while it is written: says so', async (t) => {
    const dir = await folder(t);
    await writeFile(join(dir, 'file'), '');
    await assert.rejects(Journal.open(join(dir, 'file', 'below'), 'p'), { code: 'ERR_MILLRACE_CHECKPOINT', message: /cannot be read or written/ });
    const journal = await Journal.open(dir, 'p');
    await journal.begin(head, []);
    await rm(dir, { recursive: true });
    // The open file could still be written; nobody would read it again.
    await assert.rejects(journal.append(record(0)), { code: 'ERR_MILLRACE_CHECKPOINT', message: /was removed while the job ran/ });
    await assert.rejects(journal.begin(head, []), { code: 'ERR_MILLRACE_CHECKPOINT' });
    await journal.close();
  });
});

describe('the lock', () => {
  test('one job a directory: the second is told who has it, and gets it when the first is done', async (t) => {
    const dir = await folder(t);
    const first = await Journal.open(dir, 'clicks');
    await assert.rejects(Journal.open(dir, 'p'), {
      code: 'ERR_MILLRACE_CHECKPOINT',
      message: new RegExp(`in use by this process \\(${process.pid}\\), for the pipeline "clicks" .*One job a directory`),
    });
    await first.close();
    await (await Journal.open(dir, 'p')).close();
  });

  test('a process that was killed keeps nothing; one that lives does', async (t) => {
    const dir = await folder(t);
    const script = `
      import { Journal } from './runtime/epoch/journal.ts';
      await Journal.open(process.argv[1], 'other');
      console.log('locked');
      setInterval(() => {}, 1_000);`;
    const other = startProcess([...TYPESCRIPT, '--input-type=module', '--eval', script, dir]);
    while (!other.stdout().includes('locked')) {
      if (other.child.exitCode !== null) assert.fail(other.stderr());
      await new Promise((resolve) => other.child.stdout?.once('data', resolve) ?? resolve(0));
    }
    await assert.rejects(Journal.open(dir, 'p'), { message: new RegExp(`process ${other.child.pid},`) });
    other.child.kill('SIGKILL');
    await other.ended;
    await (await Journal.open(dir, 'p')).close();
    assert.deepEqual(await readdir(dir), []);
  });
});

describe('which epochs are repeated', () => {
  const start = (offsets: readonly number[], writtenEpoch: number, over: Partial<ReplayStart> = {}): ReplayStart => ({
    pipeline: 'p',
    sources: ['log in'],
    positions: [offsets.map((offset, partition) => ({ partition, offset, metadata: writtenEpoch < 0 ? '' : 'committed' }))],
    writtenEpoch,
    nowMs: 5_000,
    ...over,
  });
  const plan = (offsets: readonly number[], writtenEpoch: number, over?: Partial<ReplayStart>) =>
    planReplay('epochs.journal', head, records(0, 6), start(offsets, writtenEpoch, over));
  const epochs = ({ records: of }: { readonly records: readonly JournalRecord[] }) => of.map(({ epoch }) => epoch);

  test('those with rows that are read again, and those that were not written', () => {
    assert.deepEqual(epochs(plan([0, 5], -1)), [0, 1, 2, 3, 4, 5]);
    // Positions of epoch 1; windows were written up to epoch 3.
    const middle = plan([20, 5], 3);
    assert.deepEqual(epochs(middle), [2, 3, 4, 5]);
    assert.equal(middle.firstEpoch, 2);
    assert.equal(middle.beforeMs, record(1).nowMs);
    assert.deepEqual(epochs(plan([60, 5], 5)), []);
    assert.equal(plan([60, 5], 5).firstEpoch, 6);
    assert.equal(plan([60, 5], 5).beforeMs, record(5).nowMs);
    // Without rows, but not written: what was decided there still counts.
    assert.deepEqual(epochs(plan([60, 5], 4)), [5]);
  });

  test('any commit that the journal knows leads to the epochs behind it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 20 }), fc.integer({ min: 1, max: 20 }), (a, b, count) => {
        const written = Math.max(a, b) % count;
        const position = Math.min(a, b) % (written + 1);
        const { records: again, firstEpoch, kept } = planReplay('j', head, records(0, count), start([10 * (position + 1), 5], written));
        assert.deepEqual(again, records(position + 1, count));
        assert.equal(firstEpoch, position + 1);
        assert.deepEqual(kept, records(0, count));
      }),
    );
  });

  test('without a journal: none, and it begins anew', () => {
    const none = planReplay('j', undefined, [], start([7, 8], 4));
    assert.deepEqual(none, {
      records: [],
      firstEpoch: 5,
      beforeMs: 5_000,
      head: { pipeline: 'p', sources: ['log in'], base: { epoch: 4, nowMs: 5_000, positions: [[7, 8]] } },
      kept: [],
    });
  });

  test('new partitions have no part in it; fewer are refused', () => {
    const grown = plan([20, 5, 40], 1);
    assert.deepEqual(epochs(grown), [2, 3, 4, 5]);
    assert.deepEqual(grown.records[0]?.positions, [[30, 5, 40]]);
    assert.deepEqual(grown.records[0]?.states, [[PARTITION_ACTIVE, PARTITION_IDLE, PARTITION_ACTIVE]]);
    assert.throws(() => plan([20], 1), { code: 'ERR_MILLRACE_CHECKPOINT', message: /had 2 partitions; now it has 1/ });
  });

  test('what does not fit is refused, with what to do', () => {
    const code = 'ERR_MILLRACE_CHECKPOINT';
    assert.throws(() => plan([20, 5], 1, { pipeline: 'q' }), { code, message: /written by the pipeline "p", not by "q".*a directory of its own/ });
    assert.throws(() => plan([20, 5], 1, { sources: ['log out'] }), { code, message: /read log in; now it reads log out/ });
    assert.throws(() => plan([25, 5], 1), { code, message: /partition 0 of log in, and 25, .*is none of its cuts.*delete the file/ });
    // The end of the journal is lost, or another run went on without it: up to the written epoch it must reach.
    for (const [offset, written] of [
      [61, 9],
      [61, 2],
      [60, 6],
      [20, 6],
      [0, 6],
    ] as const) {
      assert.throws(() => plan([offset, 5], written), { code, message: new RegExp(`ends with epoch 5, but .* of epoch ${written}.*delete it`) });
    }
    // Positions were lost, or reset.
    assert.throws(() => planReplay('j', { ...head, base: { epoch: 1, nowMs: 0, positions: [[20, 5]] } }, records(2, 4), start([0, 5], -1)), { code });
    assert.throws(() => plan([20, 5], -1), { code });
  });
});

describe('the clock', () => {
  test('is the wall clock, never goes back, and comes together with it again', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ passed: fc.integer({ min: 0, max: 1_000 }), set: fc.integer({ min: -5_000, max: 5_000 }) }), { maxLength: 30 }),
        (steps) => {
          let elapsed = 0;
          let wall = 1_000_000;
          const clock = new JobClock(
            () => wall,
            () => elapsed,
          );
          let shown = clock.read();
          assert.equal(shown, wall);
          for (const { passed, set } of steps) {
            elapsed += passed;
            wall += passed + (set > 2_500 || set < -2_500 ? set : 0);
            const now = clock.read();
            assert.ok(now >= shown && now >= wall, `${now} after ${shown}, at ${wall}`);
            // Behind a wall clock that was set back it goes on, at half the speed.
            assert.ok(now <= Math.max(wall, shown + passed / 2 + 1), `${now} after ${shown} and ${passed} ms, at ${wall}`);
            if (wall < shown && passed > 2) assert.ok(now > shown);
            shown = now;
          }
          elapsed += 2 * 200_000;
          wall += 2 * 200_000;
          assert.equal(clock.read(), wall);
        },
      ),
    );
  });

  test('does not start before what it had shown', () => {
    const clock = new JobClock(
      () => 1_000,
      () => 0,
    );
    clock.notBefore(5_000);
    assert.equal(clock.read(), 5_000);
  });
});
