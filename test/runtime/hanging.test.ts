/** A function that never returns: the job ends, and says in which function, and on which row. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { MillraceError } from '../../core/index.ts';
import { run } from '../../runtime/index.ts';
import { shareOf } from '../seed.ts';
import { WHERE } from './pipelines/hanging.ts';
import { writeTopic } from './topics.ts';

const ROWS = 600;
/** The row that hangs. Its offset is its id, and the number of records in front of it that cannot be decoded. */
const AT = 417;
const GONE = 5;
const OFFSET = AT + GONE;

const exact = (functions: string) => new RegExp(`has been at the row at offset ${AT} of partition 0 of log in, in ${functions} for`);
const keyed = (name: string) =>
  new RegExp(`has been at the end of an epoch, in ${name} \\(exchange 0\\), with the row at offset ${OFFSET} of partition 0 of log in for`);

/** What is said of each; a function gets the numbers in it. */
const SAID: Readonly<Record<(typeof WHERE)[number], RegExp | readonly [RegExp, (...found: number[]) => boolean]>> = {
  filter: exact('filter'),
  'map behind a fork': exact('map'),
  // Which rows the filter has dropped only the worker knows: the row is one of those that are possible.
  'map behind a filter and a fork': [
    /at a row between offsets (\d+) and (\d+) of partition 0/,
    (least, most) => least <= AT && AT <= most && most - least < ROWS,
  ],
  'map behind a flatMap and a fork': [/at the rows from offset (\d+) to (\d+) of partition 0/, (first, next) => first <= AT && AT < next],
  flatMap: exact('flatMap'),
  'behind mapBatches': [/at the rows from offset (\d+) to (\d+) of partition 0/, (first, next) => first <= AT && AT < next],
  process: keyed('process'),
  reduce: keyed('reduce'),
  aggregator: keyed('aggregate'),
  'aggregator in windows': keyed('aggregate'),
  'aggregator in sessions': keyed('session windows'),
  'reduce in sessions': keyed('reduce'),
  // What is made by an operator was not read anywhere; a timer is no row.
  'process behind process': /at the end of an epoch, in process \(exchange 1\) for/,
  'map behind process': /at the end of an epoch, in process, map \(exchange 0\) for/,
  timer: /at the end of an epoch, in process \(exchange 0\) for/,
};

/** Of these the rows are known one by one only where the offsets of their batch have no gaps. */
const isOfRows = (said: (typeof SAID)['filter']): boolean => !(said instanceof RegExp) || !/end of an epoch/.test(said.source);
const CASES = [
  ...WHERE.map((where) => ({ where, gone: isOfRows(SAID[where]) ? 0 : GONE, said: SAID[where] })),
  {
    where: 'filter' as const,
    gone: GONE,
    said: [/at a row between offsets (\d+) and (\d+) of partition 0/, (least: number, most: number) => least === AT && most === OFFSET] as const,
  },
];

for (const { where, gone, said } of shareOf(CASES)) {
  test(`in ${where}${gone === 0 ? '' : ', behind records that cannot be decoded'}`, async (t) => {
    const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
    t.after(() => rm(dir, { recursive: true, force: true }));
    const values = Array.from({ length: ROWS }, (_, id) => JSON.stringify({ id, key: `k${id % 5}`, at: id }));
    // Offsets are not the places of rows.
    values.splice(100, 0, ...Array.from({ length: gone }, () => 'no json'));
    await writeTopic(dir, 'in', 1, values);
    const job = await run(new URL('./pipelines/hanging.ts', import.meta.url), {
      workers: 1,
      trigger: 10,
      drain: 'emit',
      checkpoint: { dir: join(dir, 'state') },
      restarts: { times: 0, hangs: '1s' },
      params: { dir, where, at: AT },
    });
    job.on('warning', () => {});
    await assert.rejects(job.done, (error: MillraceError) => {
      assert.equal(error.code, 'ERR_MILLRACE_WORKER');
      assert.match(error.message, /It does not return/);
      if (said instanceof RegExp) assert.match(error.message, said);
      else {
        const [pattern, holds] = said;
        const found = error.message.match(pattern);
        assert.ok(found !== null && (holds as (...found: number[]) => boolean)(...found.slice(1).map(Number)), error.message);
      }
      return true;
    });
  });
}
