/**
 * Operators by key, as whole jobs of two workers from one embedded log to another (Arrow, so that decoding is
 * little of it), over rows of 10,007 keys. A ratio of 2: a tumbling window is twice as fast as that operator.
 */

import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../../runtime/job/run.ts';
import { type BenchCase, type Contest, type Digest, type Entry, type Input, ROWS } from '../harness.ts';
import { KEYS, type KeyedRow, OPERATORS, type OperatorName, rowAt, weightOf } from '../jobs/keyed-operators.ts';
import { totals } from '../jobs/keyed-totals.ts';

const M = 1_000_000;
const WINDOW_MS = 10_000;
const moduleOf = (name: string): URL => new URL(`../jobs/${name}.ts`, import.meta.url);
const inputOf = ({ dir }: Input): string => join(dir, 'in');

async function writeRows(input: Input): Promise<void> {
  mkdirSync(inputOf(input));
  const params = { from: '', to: inputOf(input), operator: 'write', rows: input.size };
  await (await run(moduleOf('keyed-operators'), { workers: 2, trigger: 'availableNow', drain: 'emit', params })).done;
}

function contest(input: Input, operator: OperatorName): Contest {
  const to = join(input.dir, `out-${operator}`);
  return {
    units: input.size,
    before() {
      rmSync(to, { recursive: true, force: true });
      mkdirSync(to);
    },
    async run() {
      const params = { from: inputOf(input), to, operator, rows: input.size };
      const job = await run(moduleOf('keyed-operators'), { workers: 2, trigger: 'availableNow', drain: 'emit', params });
      return (await job.done).seconds;
    },
    async digest() {
      await (await run(moduleOf('keyed-totals'), { workers: 1, trigger: 'availableNow', drain: 'emit', params: { dir: to } })).done;
      const { rows, n, weighted } = totals.rows.at(-1) as Record<'rows' | 'n' | 'weighted', number>;
      return operator === 'timer' ? [n, weighted] : [rows, n, weighted];
    },
  };
}

/** What comes out, by one loop over the rows and a Map. */
function expected({ size }: Input, operator: OperatorName): Digest {
  const digest = { rows: 0, n: 0, weighted: 0 };
  const emit = (key: number, n: number): void => {
    digest.rows++;
    digest.n += n;
    digest.weighted += n * (1 + (key % 7));
  };
  const states = new Map<number, { n: number; at: number; rows: KeyedRow[] }>();
  for (let i = 0; i < size; i++) {
    const row = rowAt(i);
    const { key, n, at } = row;
    let state = states.get(key);
    const isNew = state === undefined;
    if (state === undefined) states.set(key, (state = { n: 0, at, rows: [] }));
    switch (operator) {
      case 'none':
        emit(key, n);
        break;
      case 'process':
        emit(key, (state.n += n));
        break;
      case 'timer':
        state.n += n;
        break;
      case 'dropDuplicates':
        if (!isNew && at - state.at < 1_000) break;
        state.at = at;
        emit(key, n);
        break;
      case 'tumbling':
      case 'windowReduce':
      case 'windowTop':
      case 'session': {
        const isOver = operator === 'session' ? at - state.at > 500 : Math.floor(at / WINDOW_MS) > Math.floor(state.at / WINDOW_MS);
        if (isOver) {
          emit(key, state.n);
          state.n = 0;
        }
        state.n = operator === 'windowTop' ? Math.max(state.n, n) : state.n + n;
        state.at = at;
        break;
      }
      case 'tableJoin':
      case 'broadcastJoin':
        emit(key, n * weightOf(key));
        break;
      case 'intervalJoin': {
        const near = state.rows.filter((other) => at - other.at <= 50);
        for (const other of near) if (other.n < 512 !== n < 512) emit(key, n + other.n);
        state.rows = [...near, row];
        break;
      }
    }
  }
  const hasMore: readonly OperatorName[] = ['timer', 'tumbling', 'windowReduce', 'windowTop', 'session'];
  if (hasMore.includes(operator)) for (const [key, { n }] of states) emit(key, n);
  // How many results timers give depends on where epochs were cut.
  return operator === 'timer' ? [digest.n, digest.weighted] : [digest.rows, digest.n, digest.weighted];
}

function entry(operator: OperatorName): Entry {
  return { start: (input) => contest(input, operator), expected: (input) => expected(input, operator) };
}

export const operatorCases: readonly BenchCase[] = [
  {
    name: 'operators/by-key',
    rooms: ['operators'],
    unit: ROWS,
    sizes: { full: 2 * M, quick: M / 2, tiny: 3 * KEYS },
    setup: writeRows,
    expected: (input) => expected(input, 'tumbling'),
    ours: entry('tumbling'),
    peers: Object.fromEntries(OPERATORS.filter((name) => name !== 'tumbling').map((name) => [name, entry(name)])),
  },
];
