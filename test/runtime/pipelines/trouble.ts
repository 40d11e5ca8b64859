// Pipelines that get into trouble while they run: sources and sinks that fail, functions that throw, state that does not
// fit. `faulty.ts` has those that do not get that far.

import { isMainThread } from 'node:worker_threads';
import {
  type Batch,
  binary,
  type ChangelogSink,
  collect,
  count,
  f64,
  generator,
  iterable,
  mean,
  memory,
  pipeline,
  type SinkContext,
  type SinkWriter,
  type Source,
  type SourceReader,
  sum,
  timestamp,
  tumbling,
  u32,
  utf8,
} from 'millrace';

export const results = collect();
/** Sinks and sources note here, on the main thread, what was called. */
export const calls: string[] = [];

/** The sink `results` with another open end. */
function sinkThat(change: (writer: SinkWriter, context: SinkContext) => Partial<SinkWriter> | Promise<Partial<SinkWriter>>, name = 'troubled'): ChangelogSink {
  return {
    name,
    changelog: 'append',
    check: () => {},
    encoder: results.encoder,
    async open(context) {
      const writer = await results.open(context);
      calls.push(`open ${name}`);
      const close = async () => {
        calls.push(`close ${name}`);
      };
      return { info: writer.info, write: (block) => writer.write(block), commit: (epoch) => writer.commit(epoch), close, ...(await change(writer, context)) };
    },
  };
}

/** A generator with another open end. */
function sourceThat<R>(source: Source<R>, change: (reader: SourceReader) => Partial<SourceReader>): Source<R> {
  return {
    ...source,
    async open(context) {
      const reader = await source.open(context);
      calls.push('open source');
      const own: SourceReader = {
        partitionCount: reader.partitionCount,
        positions: () => reader.positions(),
        start: () => reader.start(),
        commit: (positions) => reader.commit(positions),
        async close() {
          calls.push('close source');
          await reader.close();
        },
      };
      return Object.assign(own, change(reader));
    },
  };
}

const numbers = (rows: number, partitions = 2) => generator({ rows, seed: 1, partitions, schema: { n: u32, at: timestamp }, row: (i) => ({ n: i, at: i }) });
const from = (rows: number, partitions?: number) => pipeline('trouble').from(numbers(rows, partitions));
const boom = (what: string): never => {
  throw new RangeError(what);
};

const later = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Tells the test, over memory that it shares with all threads, that a job hangs now. */
function tellStuck(stuck: Int32Array | undefined): void {
  if (stuck !== undefined) Atomics.store(stuck, 0, 1);
}

export default async ({ how, rows = 20_000, stuck }: { how: string; rows?: number; stuck?: Int32Array }) => {
  let writes = 0;
  switch (how) {
    // ---- sinks
    case 'sink open':
      return from(rows).to(sinkThat(() => boom('no such table')));
    case 'second sink open': {
      const p = from(rows);
      p.to(sinkThat(() => ({}), 'first'));
      return p.to(sinkThat(async () => (await later(30), boom('no such table')), 'second'));
    }
    case 'third write':
      return from(rows).to(sinkThat((writer) => ({ write: async (block) => (++writes === 3 ? boom('disk full') : writer.write(block)) })));
    case 'write throws':
      return from(rows).to(sinkThat(() => ({ write: () => (++writes === 3 ? boom('disk full') : later(50).then(() => boom('and again'))) })));
    case 'sink commit':
      return from(rows).to(sinkThat(() => ({ commit: async () => boom('no commit') })));
    case 'sink commit throws':
      return from(rows).to(sinkThat(() => ({ commit: () => boom('no commit') })));
    case 'sink close':
      return from(rows).to(sinkThat(() => ({ close: () => boom('stays open') })));
    case 'write hangs':
      return from(rows).to(
        sinkThat(() => ({
          write: () => {
            tellStuck(stuck);
            return new Promise<void>(() => {});
          },
        })),
      );

    // ---- sources
    case 'source open':
      return pipeline('trouble')
        .from({ ...numbers(rows), open: () => boom('no such host') })
        .to(sinkThat(() => ({})));
    case 'source positions':
      return pipeline('trouble')
        .from(sourceThat(numbers(rows), () => ({ positions: async () => boom('no positions') })))
        .to(results);
    case 'source start':
      return pipeline('trouble')
        .from(sourceThat(numbers(rows), () => ({ start: () => boom('cannot start') })))
        .to(results);
    case 'source commit':
      return pipeline('trouble')
        .from(sourceThat(numbers(rows), () => ({ commit: async () => boom('position lost') })))
        .to(results);
    case 'source breaks':
      return pipeline('trouble')
        .from(
          iterable(
            async function* () {
              for (let n = 0; ; n++) {
                if (n === 5_000) boom('connection reset');
                yield { n };
              }
            },
            { schema: { n: u32 } },
          ),
        )
        .to(results);
    case 'source row':
      return pipeline('trouble')
        .from(
          iterable(
            (function* () {
              for (let n = 0; n < 1_000; n++) yield { n: n === 700 ? ('many' as unknown as number) : n };
            })(),
            { schema: { n: u32 } },
          ),
        )
        .to(results);
    case 'endless':
      return pipeline('trouble')
        .from(generator({ seed: 1, partitions: 2, schema: { n: u32 }, row: (i) => ({ n: i % 7 }) }))
        .keyBy('n')
        .count()
        .to(results);
    case 'endless, sink fails':
      return pipeline('trouble')
        .from(generator({ seed: 1, partitions: 2, schema: { n: u32 }, row: (i) => ({ n: i % 7 }) }))
        .keyBy('n')
        .count()
        .to(sinkThat(() => ({ write: () => later(2_500).then(() => boom('disk full')) })));
    case 'endless iterable':
      return pipeline('trouble')
        .from(
          iterable(
            function* () {
              for (let n = 0; ; n++) yield { n: n % 7 };
            },
            { schema: { n: u32 } },
          ),
        )
        .keyBy('n')
        .count()
        .to(results);
    case 'no rows':
      return pipeline('trouble')
        .from(memory([], { schema: { n: u32 } }))
        .keyBy('n')
        .count()
        .to(results);

    // ---- functions
    case 'map behind aggregate':
      return from(rows)
        .withWatermark('at', 0)
        .keyBy('n')
        .window(tumbling('1s'))
        .aggregate({ clicks: count() })
        .map({ n: u32 }, (r) => (r.n === 777 ? boom('no map') : { n: r.n }))
        .to(results);
    case 'flatMap 1000':
      return from(rows)
        .flatMap({ k: u32, n: u32 }, (r, emit) => {
          for (let k = 0; k < 1_000; k++) emit({ k, n: r.n });
        })
        .keyBy('k')
        .aggregate({ rows: count(), sum: sum('n') })
        .to(results);
    case 'flatMap 1000 out':
      return from(rows)
        .flatMap({ k: u32 }, (_, emit) => {
          for (let k = 0; k < 1_000; k++) emit({ k });
        })
        .to(results);
    case 'mapBatches throws':
      return from(rows)
        .mapBatches({ n: u32 }, () => boom('no batch'))
        .to(results);
    case 'forEachBatch throws':
      return from(rows).forEachBatch((batch: Batch) => void (batch.rowCount > 0 && boom('no batch for me')));
    case 'key throws':
      return from(rows)
        .keyBy({ key: utf8 }, (r) => (r.n === 4_321 ? boom('no key') : { key: `k${r.n % 3}` }))
        .count()
        .to(results);
    case 'map gives nothing':
      return from(rows)
        .map({ n: u32 }, (r) => (r.n === 99 ? undefined : { n: 1 }) as { n: number })
        .to(results);
    case 'map gives a text':
      return from(rows)
        .map({ n: u32 }, (r) => ({ n: (r.n === 99 ? 'ninety-nine' : 1) as number }))
        .to(results);
    case 'map gives no time':
      return from(rows)
        .map({ n: u32, at: timestamp }, (r) => ({ n: r.n, at: r.n === 99 ? Number.NaN : r.at }))
        .withWatermark('at', 0)
        .keyBy('n')
        .window(tumbling('1s'))
        .count()
        .to(results);
    case 'floating rejection':
      return from(rows)
        .map({ n: u32 }, (r) => {
          if (r.n === 500) void Promise.reject(new Error('nobody looks'));
          return { n: r.n };
        })
        .to(results);
    case 'timer throws':
      if (!isMainThread) setTimeout(() => boom('from a timer'), 0);
      return from(rows).to(results);
    case 'throws null':
      return from(rows)
        .filter((r) => {
          if (r.n === 5) throw null;
          return true;
        })
        .to(results);
    case 'heap':
      return from(rows)
        .filter((r) => {
          const hoard: unknown[] = [];
          if (r.n === 100) for (;;) hoard.push(Array.from({ length: 1_000 }, (_, i) => ({ i })));
          return true;
        })
        .to(results);
    case 'spins':
      return from(rows)
        .filter((r) => {
          if (r.n === 100) {
            tellStuck(stuck);
            for (;;);
          }
          return true;
        })
        .to(results);

    // ---- state
    case 'many keys':
      return from(rows, 4).keyBy('n').count().to(results);
    case 'many windows':
      return from(rows, 4)
        .withWatermark('at', '365d')
        .keyBy('n')
        .window(tumbling(1))
        .aggregate({ mean: mean('n') })
        .to(results);
    case 'long keys':
      return from(rows)
        .map({ key: utf8 }, (r) => ({ key: `${'x'.repeat(2_000)}${r.n}` }))
        .keyBy('key')
        .count()
        .to(results);
    case 'large rows':
      return from(rows)
        .map({ body: binary }, () => ({ body: new Uint8Array(3 << 20) }))
        .to(results);

    // ---- modules
    case 'another in the worker':
      return from(rows)
        .map(isMainThread ? { n: u32 } : { n: f64 }, (r) => ({ n: r.n }))
        .to(results);
    case 'throws in the worker':
      if (!isMainThread) throw new Error('I do not like threads');
      return from(rows).to(results);
    case 'waits in the worker':
      if (!isMainThread) {
        tellStuck(stuck);
        await new Promise(() => {});
      }
      return from(rows).to(results);
    default:
      throw new Error(`no such trouble: ${how}`);
  }
};
