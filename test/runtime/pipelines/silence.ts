// Pipelines that used to fail, or to stand still, without a word.

import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread } from 'node:worker_threads';
import { collect, count, f64, files, generator, iterable, json, memory, pipeline, timestamp, tumbling } from 'millrace';

export const results = collect();

const NUMBERS = { i: f64 };

/** Rows that go on for as long as nobody stops the job. */
const endless = (rowsPerSecond: number, partitions = 1) =>
  generator({ rowsPerSecond, seed: 1, partitions, schema: { i: f64, at: timestamp }, row: (i) => ({ i, at: i * 1_000 }) });

export default function silence({ how, ...params }: { how: string; rows?: number; path?: string }) {
  const p = pipeline(how);
  const rows = params.rows ?? 100;
  const numbers = () => p.from(memory(Array.from({ length: rows }, (_, i) => ({ i }))));
  switch (how) {
    case 'throws':
      return numbers()
        .map(NUMBERS, ({ i }) => {
          if (i === 50) throw new RangeError('row fifty');
          return { i };
        })
        .to(results);
    case 'prints':
      return numbers()
        .map(NUMBERS, ({ i }) => {
          console.log(`row ${i}`);
          if (i === 7) console.error('an error line, ünïcödé');
          return { i };
        })
        .to(results);
    case 'prints while it runs':
      return p
        .from(endless(1_000))
        .map(NUMBERS, ({ i }) => {
          if (i < 5) console.log(`row ${i}`);
          return { i };
        })
        .to(results);
    case 'rejects':
      return numbers()
        .map(NUMBERS, ({ i }) => {
          if (i === 50) void Promise.reject(new RangeError('left alone'));
          return { i };
        })
        .to(results);
    case 'async throws':
      return numbers()
        .map(NUMBERS, ({ i }) => {
          if (i === 50)
            void (async () => {
              await sleep(1);
              throw new RangeError('left alone');
            })();
          return { i };
        })
        .to(results);
    case 'timer throws':
      return numbers()
        .map(NUMBERS, ({ i }) => {
          if (i === 50)
            setTimeout(() => {
              throw new RangeError('left alone');
            }, 5);
          return { i };
        })
        .to(results);
    case 'tick throws':
      return numbers()
        .map(NUMBERS, ({ i }) => {
          if (i === 50)
            process.nextTick(() => {
              throw new RangeError('left alone');
            });
          return { i };
        })
        .to(results);
    case 'timer throws later':
      return p
        .from(endless(10))
        .map(NUMBERS, ({ i }) => {
          if (i === 0)
            setTimeout(() => {
              throw new RangeError('left alone');
            }, 50);
          return { i };
        })
        .to(results);
    case 'never returns':
      return p
        .from(endless(100_000))
        .filter(({ i }) => {
          while (i === 10_003) {}
          return true;
        })
        .map(NUMBERS, ({ i }) => ({ i }))
        .to(results);
    case 'state grows':
      return p
        .from(endless(1e9))
        .keyBy('i')
        .process({
          schema: NUMBERS,
          state: () => ({ text: '' }),
          onRow(row, ctx) {
            ctx.state.text = String(row.i).padStart(200, 'x');
          },
        })
        .to(results);
    case 'heap grows': {
      const kept: unknown[] = [];
      return p
        .from(endless(1e9))
        .filter(({ i }) => {
          kept.push(new Array(1_000_000).fill(i));
          return false;
        })
        .to(results);
    }
    case 'file':
      return p.from(files.source({ path: params.path as string, value: json(NUMBERS) })).to(results);
    case 'late group': {
      // As a consumer group does: it gets its partitions some time after the start.
      const source = memory([{ i: 1 }]);
      return p
        .from({
          ...source,
          bounded: false,
          async open(context) {
            const reader = await source.open(context);
            const begin = new Promise<void>((resolve) => {
              begins = resolve;
            });
            return {
              partitionCount: 1,
              positions: () => reader.positions(),
              commit: (positions) => reader.commit(positions),
              close: () => reader.close(),
              start() {
                void begin.then(() => reader.start());
                waits = (what) => context.waiting?.(what);
              },
            };
          },
        })
        .to(results);
    }
    case 'silent partition':
      return p
        .from(generator({ rowsPerSecond: 1_000, seed: 1, schema: { i: f64, at: timestamp }, row: (i) => ({ i, at: i * 1_000 }) }))
        .union(
          p.from(
            iterable(
              async function* () {
                await new Promise(() => {});
                yield { i: 0, at: 0 };
              },
              { schema: { i: f64, at: timestamp } },
            ),
          ),
        )
        .withWatermark('at', '5s')
        .keyBy('i')
        .window(tumbling('1m'))
        .aggregate({ n: count() })
        .to(results);
    default:
      throw new Error(`no pipeline ${how} (${isMainThread})`);
  }
}

export let begins = () => {};
export let waits: (what: string | undefined) => void = () => {};
