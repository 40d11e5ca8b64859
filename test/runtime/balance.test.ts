/** The balance of an epoch: what is handed over between threads is counted on both sides. Blocks and rows go missing here, and it shows. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BatchBuilder, Counters, createMemory, type Schema, SlabAllocator } from '../../core/index.ts';
import type { Chunk, DecoderContext, Rejection, Source } from '../../io/index.ts';
import { Engine } from '../../runtime/engine/engine.ts';
import { collect, count, f64, type Job, memory as memorySource, pipeline, run, sum, timestamp, tumbling, utf8 } from '../../runtime/index.ts';
import { graphOf, type PipelineLike } from '../../runtime/plan/graph.ts';
import { makePlan } from '../../runtime/plan/planner.ts';
import { EpochBalance } from '../../runtime/shared/balance.ts';
import { Control } from '../../runtime/shared/control.ts';
import { COUNTER_NAMES } from '../../runtime/shared/ledger.ts';
import { nothingRestored } from '../../runtime/shared/restored.ts';
import { testDriver } from '../../runtime/testing.ts';
import { results } from './pipelines/unbalanced.ts';

const columns = { key: utf8, n: f64, at: timestamp };
const WORKERS = 2;
const code = 'ERR_MILLRACE_BALANCE';

/** Gives as many rows as the chunk has offsets; every tenth is refused. */
function counting(schema: Schema): Source {
  return {
    name: 'counting',
    schema,
    bounded: false,
    open: () => Promise.reject(new Error('is not opened')),
    decoder(context: DecoderContext) {
      const builder = new BatchBuilder(context.slabs, schema, context.batchRows);
      let chunk: Chunk | undefined;
      return {
        open: (of) => void (chunk = of),
        next() {
          if (chunk === undefined) return undefined;
          builder.reset();
          for (let n = chunk.first; n < chunk.next; n++) {
            if (n % 10 === 9) context.reject({ reason: 'undecodable', offset: n, rows: 1, message: 'ninth' } satisfies Rejection);
            else builder.appendRow({ key: `k${n % 13}`, n, at: n });
          }
          chunk = undefined;
          return builder.finish();
        },
        offsetOf: (row) => row,
      };
    },
  };
}

/** Two engines over one memory, as two workers have them. */
function rig(build: (of: ReturnType<typeof stream>) => PipelineLike) {
  const made = makePlan(graphOf(build(stream())) as NonNullable<ReturnType<typeof graphOf>>);
  const plan = { ...made, sources: made.sources.map((of) => ({ ...of, source: counting(of.source.schema) })) };
  const memory = createMemory(64 << 20);
  const slabs = new SlabAllocator(memory);
  const shape = { workers: WORKERS, partitions: 1, watermarks: plan.watermarks.length, exchanges: plan.exchanges.length, views: 0, sources: 1 };
  const control = new Control(memory, slabs.alloc(Control.bytesFor(shape)), shape);
  control.clear();
  const counters = [Counters.create(memory, slabs.alloc(Counters.bytesFor(COUNTER_NAMES)), COUNTER_NAMES)];
  const engines = Array.from(
    { length: WORKERS },
    (_, worker) =>
      new Engine({
        plan,
        memory,
        slabs: new SlabAllocator(memory),
        control,
        worker,
        partitions: [1],
        restored: nothingRestored(1),
        firstEpoch: 0,
        nowMs: 0,
        sinks: plan.sinks.map(() => ({ partitionCount: 1 })),
        counters,
        batchRows: 4_096,
        failedRows: 'fail',
        output: () => {},
        sample: () => {},
      }),
  );
  const balance = new EpochBalance(plan);
  let offset = 0;
  let rows = 0;
  return {
    memory,
    control,
    balance,
    /** A chunk of 100 rows for a worker; `isScanned` false: it gets lost on its way. */
    scan(worker: number, isScanned = true): void {
      const chunk = { partition: 0, address: 0, byteLength: 640, first: offset, next: offset + 100 };
      offset += 100;
      rows += 100;
      balance.give(0, chunk.byteLength);
      if (isScanned) (engines[worker] as Engine).scan(0, chunk, 0);
    },
    /** @param tamper called behind step `step` of worker `worker`, with the directories of both */
    end(epoch: number, tamper?: { readonly step: number; readonly worker: number; with(directories: number[]): void }): void {
      balance.end(epoch, [rows]);
      rows = 0;
      const steps = engines.map((engine) => engine.endEpoch(epoch, epoch));
      for (let step = 0, isDone = false; !isDone; step++) {
        steps.forEach((one, worker) => {
          isDone = one.next().done === true;
          if (tamper?.step === step && tamper.worker === worker) tamper.with(engines.map((_, w) => control.directory(epoch, w, 0)));
        });
      }
      balance.check(epoch, control);
    },
  };
}

const stream = () =>
  pipeline('balance')
    .from(memorySource([], { schema: columns }))
    .withWatermark('at', 50);
const aggregate = (of: ReturnType<typeof stream>) =>
  of
    .keyBy('key')
    .window(tumbling(100))
    .aggregate({ n: count(), of: sum('n') })
    .to(collect());
const byRow = (of: ReturnType<typeof stream>) => of.keyBy('key').dropDuplicates({ within: 20 }).to(collect());
const nested = (of: ReturnType<typeof stream>) => of.keyBy('key').window(tumbling(50)).count().windowAll(tumbling(200)).count().to(collect());

for (const [name, build] of [
  ['groups', aggregate],
  ['rows', byRow],
  ['windows of windows', nested],
] as const) {
  test(`${name}: what is put in is what is merged, late rows and refused ones apart`, () => {
    const { scan, end, balance } = rig(build);
    for (let epoch = 0; epoch < 5; epoch++) {
      for (let n = 0; n < 4; n++) scan(n % WORKERS);
      end(epoch);
    }
    const { sources, exchanges, epochs } = balance.totals;
    assert.equal(epochs, 5);
    assert.deepEqual(sources, [{ source: 'counting', decoded: 1_800, refused: 200, epochsCounted: 5 }]);
    assert.equal((exchanges[0]?.rows ?? 0) + (exchanges[0]?.late ?? 0), 1_800);
  });

  test(`${name}: a chunk that gets lost on its way to a worker`, () => {
    const { scan, end } = rig(build);
    scan(0);
    scan(1, false);
    assert.throws(() => end(0), { code, message: /Epoch 0 does not balance at counting: chunks handed out 2, chunks scanned 1/ });
  });

  test(`${name}: a block that is lost, and one that is merged twice`, () => {
    const lost = rig(build);
    lost.scan(0);
    lost.scan(1);
    lost.end(0);
    lost.scan(0);
    lost.scan(1);
    assert.throws(() => lost.end(1, { step: 0, worker: 1, with: ([of]) => void (lost.memory.u32[(of as number) + 1] = 0) }), {
      code,
      message: /Epoch 1 does not balance at exchange 0: rows put in \d+, rows found by worker 0 \d+/,
    });
    const doubled = rig(build);
    doubled.scan(0);
    assert.throws(
      () =>
        doubled.end(0, {
          step: 0,
          worker: 1,
          with: ([from, to]) => void doubled.memory.u32.copyWithin(to as number, from as number, (from as number) + 2),
        }),
      { code, message: /exchange 0: rows put in 90, rows found by worker 0 180/ },
    );
  });
}

test('held are the rows of open windows, released those of closed ones', () => {
  const { scan, end, balance, memory } = rig(aggregate);
  const open = (): unknown => balance.totals.exchanges[0];
  scan(0);
  scan(1);
  end(0);
  // Times 0 to 198; the watermark is at 148, so the first window of 100 has closed with its 90 rows.
  assert.deepEqual(open(), { exchange: 0, rows: 180, late: 0, held: 90, released: 90 });
  scan(0);
  end(1);
  assert.deepEqual(open(), { exchange: 0, rows: 270, late: 0, held: 90, released: 180 });
  scan(0);
  assert.throws(
    () =>
      end(2, {
        step: 0,
        worker: 1,
        // The rows of the first pane of the first block.
        with: ([of]) => void (memory.u32[((memory.u32[(memory.u32[of as number] as number) >>> 2] as number) + 56) >>> 2] = 89),
      }),
    { code, message: /rows put in so far 360, held or released as worker 0 has it 359/ },
  );
});

test('a block that one worker finds and another does not', () => {
  const { scan, end, memory } = rig(nested);
  scan(0);
  scan(1);
  // Behind the step in which worker 0 has merged exchange 0, and before worker 1 does.
  assert.throws(() => end(0, { step: 1, worker: 0, with: ([of]) => void (memory.u32[(of as number) + 1] = 0) }), {
    code,
    message: /rows put in 180, rows found by worker 1 90/,
  });
});

test('a block of which the shards see only a part', () => {
  const { scan, end, memory } = rig(aggregate);
  scan(0);
  scan(0);
  assert.throws(
    () =>
      end(0, {
        step: 0,
        worker: 1,
        // The second block begins a pane too many further on; the first has one pane, of which none is left.
        with: ([of]) => void (memory.u32[((memory.u32[(memory.u32[of as number] as number) >>> 2] as number) + 24) >>> 2] = 0),
      }),
    { code, message: /groups or rows in blocks \d+, merged by the shards \d+/ },
  );
});

test('a decoder that loses a row, or gives one twice, ends the job before anything is written', async () => {
  const start = async (fault: string): Promise<Job> => {
    const job = await run(new URL('./pipelines/unbalanced.ts', import.meta.url), { workers: 2, trigger: 'availableNow', params: { fault } });
    await job.done;
    return job;
  };
  const { balance } = (await start('none')).progress();
  assert.deepEqual(balance.sources, [{ source: 'generator', decoded: 50_000, refused: 0, epochsCounted: balance.epochs }]);
  assert.deepEqual(balance.exchanges, [{ exchange: 0, rows: 50_000, late: 0, held: undefined, released: undefined }]);
  for (const fault of ['lost row', 'batch twice']) {
    await assert.rejects(start(fault), { code, message: /at generator: rows in the frames \d+, rows decoded or in the ledger \d+.*fault of millrace/ }, fault);
    assert.deepEqual(results.rows, []);
  }
});

test('the test driver counts, too', () => {
  const driver = testDriver(stream().keyBy('key').window(tumbling(10)).count().to(collect()), { shards: 3, seed: 1 });
  driver.send(Array.from({ length: 500 }, (_, n) => ({ key: `${n % 9}`, n, at: n })));
  driver.endEpoch();
  driver.close();
  assert.equal(
    driver.output().reduce((rows, row) => rows + (row['count'] as number), 0),
    500,
  );
});
