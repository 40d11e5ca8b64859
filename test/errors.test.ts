/**
 * Each code of core/errors.ts: here it is provoked, through the code that a user meets wherever one thread is enough, and
 * docs/errors.md says what it means and what to do. A code that lacks either fails.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createMemory, ERROR_CODES, type ErrorCode, LiveCell, MillraceError, readBatch, type Schema, SlabAllocator } from '../core/index.ts';
import { kafka } from '../io/kafka/index.ts';
import { CheckpointDir } from '../runtime/checkpoint/index.ts';
import {
  collect,
  explain,
  f64,
  files,
  i64,
  json,
  memory,
  type PipelineLike,
  pipeline,
  type RunOptions,
  run,
  sum,
  text,
  timestamp,
  tumbling,
  utf8,
} from '../runtime/index.ts';
import { View } from '../runtime/job/view.ts';
import { graphOf } from '../runtime/plan/graph.ts';
import { makePlan } from '../runtime/plan/planner.ts';
import { Control } from '../runtime/shared/control.ts';
import { SpillFiles, StateReader } from '../runtime/state-log/index.ts';
import { testDriver } from '../runtime/testing.ts';
import { readSource } from './io/harness.ts';
import { openStage, recordBatchOf } from './io/kafka-fixture.ts';
import { contentOf, EPOCHS, logged, opened, ranges } from './runtime/logged-shards.ts';
import { writeTopic } from './runtime/topics.ts';

const pages = memory([], { schema: { page: utf8, n: i64, ms: f64, at: timestamp } });
const clicks = new URL('./runtime/pipelines/clicks.ts', import.meta.url);
const atPipeline = (name: string) => new URL(`./runtime/pipelines/${name}.ts`, import.meta.url);

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-errors-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

async function toEnd(module: URL, options: RunOptions): Promise<void> {
  await (await run(module, { workers: 1, trigger: 'availableNow', drain: 'emit', ...options })).done;
}

/** Does what goes wrong; false where it cannot be done here, which the test has said. */
type Provoke = (t: TestContext) => unknown;

const PROVOKED: { readonly [C in ErrorCode]: { readonly by: Provoke; readonly message: RegExp } } = {
  ERR_MILLRACE_BALANCE: {
    // A source of one's own, whose decoder loses a row.
    by: () => toEnd(atPipeline('unbalanced'), { params: { fault: 'lost row' } }),
    message: /Epoch \d+ does not balance at generator/,
  },
  ERR_MILLRACE_BATCH: {
    by: () => {
      const shared = createMemory(1 << 20);
      const address = new SlabAllocator(shared).alloc(64);
      for (let i = 0; i < 64; i++) shared.u8[address + i] = i * 37;
      readBatch(shared, address, 64);
    },
    message: /no Arrow message/,
  },
  ERR_MILLRACE_BROKER: {
    by: () => readSource(kafka.source({ brokers: ['127.0.0.1:1'], topic: 'clicks', group: 'g', value: json({ page: utf8 }), brokerTimeout: 300 })),
    message: /127\.0\.0\.1:1/,
  },
  ERR_MILLRACE_CAPACITY: {
    by: () => {
      const driver = testDriver(
        pipeline('p')
          .from(pages)
          .keyBy('page')
          .aggregate({ n: sum('n') })
          .to(collect()),
      );
      driver.send([1, 2].map(() => ({ page: '/a', n: 2n ** 63n - 1n, ms: 0, at: 0 })));
      driver.endEpoch();
    },
    message: /"n" does not fit 64 bits/,
  },
  ERR_MILLRACE_CHECKPOINT: {
    by: () => {
      const of = (name: string): PipelineLike => pipeline(name).from(pages).keyBy('page').count().to(collect());
      const other = pipeline('p').from(pages).keyBy('ms').count().to(collect());
      testDriver(other, { from: testDriver(of('p')).snapshot() });
    },
    message: /./,
  },
  ERR_MILLRACE_CODEC: {
    by: async (t) => {
      const dir = await folder(t);
      await writeTopic(dir, 'in', 1, ['{"page":"/a","ms":1,"at":1}', 'no JSON']);
      await toEnd(clicks, { badRows: 'fail', params: { dir } });
    },
    message: /1 of 2 rows were bad.*offset 1/,
  },
  ERR_MILLRACE_CORRUPT: {
    by: async (t) => {
      const dir = await folder(t);
      await writeFile(join(dir, 'epochs.journal'), 'x\n');
      await CheckpointDir.open(dir, 'p', () => {});
    },
    message: /journal/,
  },
  ERR_MILLRACE_FENCED: {
    by: async () => {
      const sink = collect();
      const { signal } = new AbortController();
      const first = await sink.open({ schema: pages.schema as Schema, pipeline: 'p', signal, guarantee: 'exactly-once' });
      // A collector is one stream of a job; the next job of the process takes it over.
      const next = await sink.open({ schema: pages.schema as Schema, pipeline: 'p', signal: new AbortController().signal, guarantee: 'exactly-once' });
      await next.recover?.(0);
      await first.commit(1);
    },
    message: /A later run collects these rows now/,
  },
  ERR_MILLRACE_FILE: {
    by: async (t) => readSource(files.source({ path: join(await folder(t), 'not-there.jsonl'), value: json({ page: utf8 }) })),
    message: /not-there/,
  },
  ERR_MILLRACE_MEMORY: {
    by: async (t) => {
      const dir = await folder(t);
      await writeTopic(
        dir,
        'in',
        1,
        [1, 2, 3].map((n) => JSON.stringify({ key: 'g'.repeat(5 << 20), n, at: 1 })),
      );
      await toEnd(atPipeline('values'), { memory: '32MiB', params: { dir, as: 'json' } });
    },
    message: /Raise the memory option/,
  },
  ERR_MILLRACE_MODULE: {
    by: () => explain(atPipeline('not-there')),
    message: /not-there/,
  },
  ERR_MILLRACE_OPTION: {
    by: () => tumbling('soon' as '1m'),
    message: /"soon"/,
  },
  ERR_MILLRACE_PIPELINE: {
    by: () => explain(atPipeline('faulty'), { how: 'no sink' }),
    message: /sink/,
  },
  ERR_MILLRACE_SCHEMA: {
    by: () => {
      const driver = testDriver(pipeline('p').from(pages).to(collect()));
      driver.send([{ page: 7, n: 0n, ms: 0, at: 0 } as never]);
    },
    message: /page/,
  },
  ERR_MILLRACE_SINK: {
    by: () => toEnd(atPipeline('trouble'), { params: { how: 'third write' } }),
    message: /sink troubled failed: disk full/,
  },
  ERR_MILLRACE_SOURCE: {
    by: () => toEnd(atPipeline('trouble'), { params: { how: 'source start' } }),
    message: /source generator failed: cannot start/,
  },
  ERR_MILLRACE_SPILL: {
    by: async (t) => {
      const spilled = new SpillFiles(await folder(t), 0);
      spilled.put(0, 1, new Uint8Array(100));
      spilled.drop(0, 1);
      spilled.read(0, 1);
    },
    message: /put away in .* cannot be read: ENOENT/,
  },
  ERR_MILLRACE_STATE: {
    by: () => {
      const { bytes } = logged(3, false);
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1;
      contentOf(new StateReader(ranges, EPOCHS, opened(bytes)), 3);
    },
    message: /segment .* is damaged/,
  },
  ERR_MILLRACE_TOPIC: {
    by: async (t) => {
      const dir = await folder(t);
      await writeTopic(dir, 'clicks', 1, ['{}']);
      await toEnd(clicks, { params: { dir, topic: 'klicks' } });
    },
    message: /There is no topic "klicks".*there are: clicks/,
  },
  ERR_MILLRACE_TRANSACTION: {
    by: async (t) => {
      const stage = await openStage(t);
      if (stage === undefined) return false;
      const value = text();
      const topic = await stage.topic(1);
      const sink = kafka.sink({ brokers: stage.brokers, topic, value });
      const { signal } = new AbortController();
      const transaction = await sink.transactions?.open({ id: `errors-${randomBytes(6).toString('hex')}`, signal });
      assert.ok(transaction);
      await transaction.recover();
      const schema = (await explain(atPipeline('on-kafka'), { brokers: stage.brokers.join(','), input: topic, group: 'g', output: topic })).sinks[0]?.schema;
      const writer = await sink.open({ schema: schema as Schema, pipeline: 'p', signal, guarantee: 'exactly-once', transaction });
      await transaction.close();
      await writer.write({ epoch: 1, unit: 0, partition: 0, rowCount: 1, bytes: recordBatchOf(['late']) });
      return true;
    },
    message: /closed before everything was committed/,
  },
  ERR_MILLRACE_USER_FUNCTION: {
    by: () => {
      const driver = testDriver(
        pipeline('p')
          .from(pages)
          .filter((r) => r.page.length > 0 && JSON.parse(r.page) !== null)
          .to(collect()),
      );
      driver.send([{ page: 'no JSON', n: 0n, ms: 0, at: 0 }]);
      driver.endEpoch();
    },
    message: /JSON/,
  },
  ERR_MILLRACE_VIEW: {
    // What a worker leaves that died in the middle of a change: cells whose version stays odd, and nobody to wait for.
    by: () => {
      const plan = makePlan(graphOf(pipeline('p').from(pages).keyBy('page').count().as('pages').to(collect())) as NonNullable<ReturnType<typeof graphOf>>);
      const shared = createMemory(8 << 20);
      const slabs = new SlabAllocator(shared);
      const shape = { workers: 1, partitions: 1, watermarks: plan.watermarks.length, exchanges: plan.exchanges.length, views: 1, sources: 1 };
      const control = new Control(shared, slabs.alloc(Control.bytesFor(shape)), shape);
      control.clear();
      for (let shard = 0; shard < 64; shard++) new LiveCell(shared, control.live(0, shard)).begin();
      new View({ slabs, control, isOver: () => true }, plan.views[0] as (typeof plan.views)[number], 0).get('/a');
    },
    message: /The view "pages" cannot be read: the job ended while it was changing this state/,
  },
  ERR_MILLRACE_WORKER: {
    by: () => toEnd(atPipeline('faulty'), { params: { how: 'exits' } }),
    message: /[Ww]orker/,
  },
};

for (const code of ERROR_CODES) {
  test(`${code} is what is said, with words that help`, async (t) => {
    const { by, message } = PROVOKED[code];
    let error: unknown;
    try {
      if ((await by(t)) === false) return;
    } catch (thrown) {
      error = thrown;
    }
    assert.ok(error instanceof MillraceError, `nothing was refused, or by something else: ${error}`);
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
  });
}

test('docs/errors.md has each code once, with a cause and a cure, and no other', () => {
  const page = readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8');
  const rows = page.split('\n').flatMap((line) => {
    const [, code, cause, cure] = /^\| `(ERR_MILLRACE_[A-Z_]+)` \| ([^|]+) \| ([^|]+) \|/.exec(line) ?? [];
    return code === undefined ? [] : [{ code, cause, cure }];
  });
  assert.deepEqual(rows.map(({ code }) => code).sort(), [...ERROR_CODES].sort());
  for (const { code, cause, cure } of rows) assert.ok((cause?.trim().length ?? 0) > 20 && (cure?.trim().length ?? 0) > 20, code);
});
