// Views of a job that runs: every answer is the state as of the epoch that it names, told from the rows that the sinks got, however
// the workers change the tables meanwhile.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Job, MillraceError, run, seededRng } from '../../runtime/index.ts';
import { TYPESCRIPT } from '../typescript.ts';
import { startProcess } from './cli-process.ts';
import * as live from './pipelines/live.ts';

const module = new URL('./pipelines/live.ts', import.meta.url);

type Row = Record<string, unknown>;
interface Answer {
  readonly epoch: number;
  readonly of: 'pages' | 'pairs';
  /** Undefined: about all keys. */
  readonly key?: string;
  /** What top and rows gave, in `by` order for top. */
  readonly rows: readonly Row[];
  readonly size?: number;
  readonly top?: number;
}

const keyOf = (of: Answer['of'], row: Row): string => (of === 'pages' ? JSON.stringify(row.page) : JSON.stringify([row.user, row.page]));

/** Asks for as long as the job runs, a few questions a turn. */
async function ask(job: Job, seed: number): Promise<Answer[]> {
  const answers: Answer[] = [];
  /** On a machine that lets an owner wait for long an answer may be refused; it is never wrong. */
  const unlessRefused = (question: () => void): void => {
    try {
      question();
    } catch (error) {
      if (!(error instanceof MillraceError && error.code === 'ERR_MILLRACE_VIEW')) throw error;
    }
  };
  const rng = seededRng(seed);
  let isOver = false;
  const over = job.done.finally(() => {
    isOver = true;
  });
  const pages = job.view<Row>('pages');
  const pairs = job.view<Row>('pairs');
  let question = 0;
  const keep = (answer: Omit<Answer, 'epoch'>, epoch: number): void => void answers.push({ epoch, ...answer });
  const askSome = (): void => {
    for (let i = 0; i < 40; i++) {
      const page = live.PAGES[rng.int(live.PAGES.length)] as string | null;
      const one = pages.get(page);
      keep({ of: 'pages', key: JSON.stringify(page), rows: one === undefined ? [] : [one] }, pages.epoch);
      const user = rng.int(20);
      const pair = pairs.get(rng.int(2) === 0 ? { page, user } : [user, page]);
      keep({ of: 'pairs', key: JSON.stringify([user, page]), rows: pair === undefined ? [] : [pair] }, pairs.epoch);
    }
    const n = 1 + rng.int(20);
    keep({ of: 'pages', top: n, rows: pages.top(n, { by: 'rows' }) }, pages.epoch);
    if (question++ % 4 === 0) {
      keep({ of: 'pages', rows: pages.rows() }, pages.epoch);
      keep({ of: 'pairs', rows: [], size: pairs.size }, pairs.epoch);
      keep({ of: 'pairs', top: n, rows: pairs.top(n, { by: 'ms' }) }, pairs.epoch);
    }
  };
  while (!isOver) {
    unlessRefused(askSome);
    await nextTurn();
  }
  await over;
  return answers;
}

/** Compares the answers with the state as of their epochs. */
function check(of: Answer['of'], noted: readonly live.Noted[], answers: readonly Answer[]): number {
  const state = new Map<string, Row>();
  const epochs = new Set<number>();
  let at = 0;
  let found = 0;
  for (const answer of answers.filter((a) => a.of === of).sort((a, b) => a.epoch - b.epoch)) {
    for (; at < noted.length && (noted[at] as live.Noted).epoch <= answer.epoch; at++) {
      const { row } = noted[at] as live.Noted;
      state.set(keyOf(of, row), row);
    }
    epochs.add(answer.epoch);
    if (answer.size !== undefined) assert.equal(answer.size, state.size, `size as of epoch ${answer.epoch}`);
    else if (answer.key !== undefined) {
      assert.deepEqual(answer.rows[0], state.get(answer.key), `${answer.key.slice(0, 40)} as of epoch ${answer.epoch}`);
      found += answer.rows.length;
    } else {
      for (const row of answer.rows) assert.deepEqual(row, state.get(keyOf(of, row)));
      assert.equal(new Set(answer.rows.map((row) => keyOf(of, row))).size, answer.rows.length);
      const by = of === 'pages' ? 'rows' : 'ms';
      if (answer.top === undefined) assert.equal(answer.rows.length, state.size);
      else {
        const greatest = [...state.values()].map((row) => row[by] as number).sort((a, b) => b - a);
        assert.deepEqual(
          answer.rows.map((row) => row[by]),
          greatest.slice(0, answer.top),
        );
      }
      found += answer.rows.length;
    }
  }
  assert.ok(epochs.size > 1, `answers as of ${epochs.size} epochs`);
  return found;
}

for (const workers of [1, 3]) {
  test(`thousands of answers while ${workers} workers go on`, async () => {
    const rows = 80_000;
    const job = await run(module, { workers, trigger: 4, bounded: true, drain: 'emit', epochBytes: '64KiB', params: { rows } });
    const answers = await ask(job, workers);
    assert.ok(answers.length > 1_000, `${answers.length} answers`);
    assert.ok(check('pages', live.pageRows, answers) > 500);
    check('pairs', live.pairRows, answers);

    // And the last state, from a plain loop over the same rows.
    const rng = seededRng(11);
    const counts = new Map<string, number>();
    const pairs = new Set<string>();
    for (let i = 0; i < rows; i++) {
      rng.seek(i);
      const row = live.rowAt(i, rng);
      counts.set(JSON.stringify(row.page), (counts.get(JSON.stringify(row.page)) ?? 0) + 1);
      pairs.add(JSON.stringify([row.user, row.page]));
    }
    const last = job.view<{ page: string | null; rows: number }>('pages');
    assert.deepEqual(new Map(last.rows().map((row) => [JSON.stringify(row.page), row.rows])), counts);
    assert.equal(job.view('pairs').size, pairs.size);
    assert.equal(last.get('no such page'), undefined);
  });
}

test('a view stays readable when the job was stopped, and is not there under another name', async () => {
  const job = await run(module, { workers: 2, trigger: 10, params: { rows: 200_000 } });
  await job.stop();
  const view = job.view<{ rows: number }>('pages');
  const total = view.rows().reduce((sum, row) => sum + row.rows, 0);
  assert.equal(total, job.progress().rowsIn);
  assert.throws(
    () => job.view('page'),
    (error) => error instanceof MillraceError && error.code === 'ERR_MILLRACE_OPTION' && /"pages", "pairs"/.test(error.message),
  );
});

test('a job that was stopped in the middle of an epoch gives what holds, or says so', async () => {
  for (let attempt = 0; attempt < 3; attempt++) {
    const job = await run(module, { workers: 2, trigger: 3, epochBytes: '64KiB', params: { rows: 2_000_000 } });
    const view = job.view<Row>('pages');
    for (let turn = 0; turn < 20_000 && view.epoch < 2 + attempt; turn++) {
      view.get(null);
      await nextTurn();
    }
    await job.stop({ drain: false });
    let answers = 0;
    for (const page of live.PAGES) {
      try {
        const row = view.get(page);
        if (row !== undefined) assert.equal(row.page, page);
        answers++;
      } catch (error) {
        assert.ok(error instanceof MillraceError && error.code === 'ERR_MILLRACE_VIEW', String(error));
      }
    }
    try {
      const rows = view.rows();
      assert.equal(rows.length, view.size);
    } catch (error) {
      assert.ok(error instanceof MillraceError && error.code === 'ERR_MILLRACE_VIEW', String(error));
    }
    assert.ok(answers > 0);
  }
});

test('after a failure single keys are as of an epoch of theirs, or refused', async () => {
  const job = await run(module, { workers: 2, trigger: 5, bounded: true, drain: 'emit', epochBytes: '64KiB', params: { rows: 400_000, failAt: 50_000 } });
  await assert.rejects(job.done, /a user too many/);
  const view = job.view<Row>('pages');
  const answers: Answer[] = [];
  for (const page of live.PAGES) {
    try {
      const row = view.get(page);
      answers.push({ epoch: view.epoch, of: 'pages', key: JSON.stringify(page), rows: row === undefined ? [] : [row] });
    } catch (error) {
      assert.ok(error instanceof MillraceError && error.code === 'ERR_MILLRACE_VIEW', String(error));
    }
  }
  // What was written before the failure is known; of later epochs that much: counts only grow.
  const written = new Map(live.pageRows.map(({ row }) => [JSON.stringify(row.page), row.rows as number]));
  for (const { key, rows } of answers) assert.ok(((rows[0]?.rows as number | undefined) ?? 0) >= (written.get(key as string) ?? 0), key);
  assert.ok(answers.length > 0);
});

test('examples/live-view.ts answers over HTTP, and ends when it is asked to', async () => {
  const { child, ended, stdout, stderr } = startProcess([...TYPESCRIPT, 'examples/live-view.ts', '0']);
  try {
    const url = await new Promise<string>((resolve, reject) => {
      child.stdout?.on('data', () => {
        const found = /http:\/\/127\.0\.0\.1:\d+/.exec(stdout());
        if (found !== null) resolve(found[0]);
      });
      ended.then(({ stderr }) => reject(new Error(stderr)));
    });
    const ask = async (path: string) => {
      const response = await fetch(`${url}${path}`);
      return { status: response.status, ...((await response.json()) as { asOfEpoch: number; answer: never }) };
    };
    let top: { status: number; asOfEpoch: number; answer: { page: string; clicks: number }[] };
    do top = await ask('/top?n=3');
    while (top.answer.length < 3);
    assert.ok(top.answer.every(({ clicks }, i) => i === 0 || clicks <= (top.answer[i - 1]?.clicks as number)));
    const page = top.answer[0]?.page as string;
    const later: { status: number; asOfEpoch: number; answer: { page: string; clicks: number } } = await ask(`/page?name=${page}`);
    assert.deepEqual([later.status, later.answer.page], [200, page]);
    assert.ok(later.answer.clicks >= (top.answer[0]?.clicks as number) && later.asOfEpoch >= top.asOfEpoch);
    assert.equal((await ask('/page?name=none')).status, 404);
  } finally {
    child.kill('SIGINT');
    const { code } = await ended;
    assert.equal(code, 0, stderr());
  }
});
