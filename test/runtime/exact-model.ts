/**
 * What the outputs of pipelines/exact.ts must be, by a plain model of its input; rows that come in meanwhile; and what is in the outputs.
 */

import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run, seededRng } from '../../runtime/index.ts';
import { OUTPUTS, type Params, results } from './pipelines/exact.ts';

export const EXACT = new URL('./pipelines/exact.ts', import.meta.url);

export interface Row {
  readonly id: number;
  readonly key: string;
  readonly n: number;
  readonly at: number;
}
export type Out = Readonly<Record<string, number | string>>;

/** The only right output. Event time moves on with the rows, and none is late. */
export function exactModel(rows: readonly Row[]): Record<(typeof OUTPUTS)[number], (out: readonly Out[]) => void> {
  const keys = [...new Set(rows.map(({ key }) => key))];
  const of = (key: string) => rows.filter((row) => row.key === key);
  const total = (some: readonly Row[]) => some.reduce((sum, { n }) => sum + n, 0);
  const same = (out: readonly object[], expected: readonly object[], what: string) => {
    const text = (row: object) => JSON.stringify(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1)));
    assert.deepEqual(out.map(text).sort(), expected.map(text).sort(), what);
  };
  const windows = (some: readonly Row[], size: number, slide: number) => {
    const found = new Map<number, Row[]>();
    for (const row of some) {
      for (let start = Math.floor(row.at / slide) * slide; start > row.at - size; start -= slide) found.set(start, [...(found.get(start) ?? []), row]);
    }
    return [...found].map(([start, inside]) => ({ windowStart: start, windowEnd: start + size, rows: inside.length, n: total(inside) }));
  };
  const sliding = keys.flatMap((key) => windows(of(key), 400, 200).map((window) => ({ key, ...window })));
  return {
    copy: (out) =>
      same(
        out,
        rows.map(({ id, n }) => ({ id, twice: 2 * n })),
        'copy',
      ),
    windows: (out) => same(out, sliding, 'windows'),
    totals(out) {
      const found = new Map<number, { windows: number; n: number }>();
      for (const { windowEnd, n } of sliding) {
        // A result happened at the last moment of its window.
        const start = Math.floor((windowEnd - 1) / 800) * 800;
        const known = found.get(start) ?? { windows: 0, n: 0 };
        found.set(start, { windows: known.windows + 1, n: known.n + n });
      }
      same(
        out,
        [...found].map(([start, sums]) => ({ windowStart: start, windowEnd: start + 800, ...sums })),
        'totals',
      );
    },
    counts(out) {
      for (const key of keys) {
        const updates = out.filter((row) => row['key'] === key);
        const counts = updates.map((row) => row['rows'] as number).sort((a, b) => a - b);
        assert.equal(new Set(counts).size, counts.length, `an update of ${key} came twice`);
        assert.equal(counts.at(-1), of(key).length, `rows of ${key}`);
        assert.equal(updates.find((row) => row['rows'] === counts.at(-1))?.['n'], total(of(key)), `sum of ${key}`);
      }
    },
    sessions(out) {
      assert.equal(
        out.reduce((sum, row) => sum + (row['rows'] as number), 0),
        rows.length,
        'rows in sessions',
      );
      assert.equal(new Set(out.map((row) => `${row['key']} ${row['windowStart']}`)).size, out.length, 'a session came twice');
    },
    numbers(out) {
      for (const key of keys) {
        const numbers = out.filter((row) => row['key'] === key).map((row) => row['number'] as number);
        assert.deepEqual(
          numbers.sort((a, b) => a - b),
          of(key).map((_, i) => i + 1),
          `numbers of ${key}`,
        );
      }
      assert.equal(new Set(out.map((row) => row['id'])).size, rows.length, 'ids');
    },
  };
}

/** Rows that come in until they are stopped, 60 at a time. */
export class Feed {
  readonly rows: Row[] = [];
  #isDone = false;
  readonly #writing: Promise<void>;

  constructor(seed: number, write: (rows: readonly Row[]) => Promise<void>) {
    const rng = seededRng(seed);
    this.#writing = (async () => {
      while (!this.#isDone) {
        const made = Array.from({ length: 60 }, (): Row => {
          const id = this.rows.length;
          rng.seek(1_000 + id);
          const row = { id, key: `k${rng.int(5)}`, n: rng.int(100), at: 1_000 + id * 2 + rng.int(20) };
          this.rows.push(row);
          return row;
        });
        await write(made);
        await sleep(15);
      }
    })();
  }

  async stop(): Promise<void> {
    this.#isDone = true;
    await this.#writing;
  }
}

async function output(params: Params, read: (typeof OUTPUTS)[number]): Promise<Out[]> {
  if (params.files === 'true') {
    const dir = join(params.dir, `${params.name ?? 'exact'}-${read}`);
    const texts = await Promise.all((await readdir(dir)).filter((file) => !file.startsWith('.')).map((file) => readFile(join(dir, file), 'utf8')));
    return texts.flatMap((text) => text.trimEnd().split('\n')).map((line) => JSON.parse(line) as Out);
  }
  const job = await run(EXACT, { workers: 1, trigger: 'availableNow', params: { ...params, read } });
  await job.done;
  return results.rows.map((row) => JSON.parse((row as { value: string }).value) as Out);
}

/** All outputs are what the rows give: none lost, none twice. */
export async function isExact(rows: readonly Row[], params: Params): Promise<void> {
  const check = exactModel(rows);
  for (const name of OUTPUTS) check[name](await output(params, name));
}
