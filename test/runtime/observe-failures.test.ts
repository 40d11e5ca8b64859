/** What is told when something fails: a restart within the process, and a broker that is not there for a while. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Logger, run } from '../../runtime/index.ts';
import { openStage } from '../io/kafka-fixture.ts';
import { writeTopic } from './topics.ts';

interface Line {
  readonly level: string;
  readonly message: string;
  readonly fields: Record<string, unknown>;
}

function kept(): Logger & { readonly lines: Line[] } {
  const lines: Line[] = [];
  const at = (level: string) => (fields: object, message: string) => void lines.push({ level, message, fields: fields as Record<string, unknown> });
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** The sum over the samples of a metric. */
function total(text: string, name: string): number {
  return [...text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'gm'))].reduce((sum, [, value]) => sum + Number(value), 0);
}

test('a restart is told with its cause, and counters go on over it', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const rows = Array.from({ length: 2_000 }, (_, id) => JSON.stringify({ id, key: `k${id % 5}`, n: 1, at: id }));
  await writeTopic(dir, 'in', 1, rows);
  const logger = kept();
  const job = await run(new URL('./pipelines/dying.ts', import.meta.url), {
    workers: 2,
    trigger: 10,
    bounded: true,
    drain: 'emit',
    guarantee: 'exactly-once',
    checkpoint: { dir: join(dir, 'state'), interval: 20 },
    epochBytes: '16KiB',
    logger,
    params: { dir, fault: 'exit', at: 1_234 },
  });
  await job.done;
  const restart = logger.lines.find(({ message }) => message.startsWith('the job goes on from a checkpoint'));
  assert.deepEqual([restart?.level, restart?.fields['code'], restart?.fields['restart']], ['warn', 'ERR_MILLRACE_WORKER', 1]);
  assert.equal(logger.lines.filter(({ message }) => message.startsWith('sources and sinks are open')).length, 2);
  const text = job.metrics();
  const { rowsIn } = job.progress();
  assert.equal(total(text, 'millrace_restarts_total'), 1);
  assert.ok(rowsIn >= 2_000);
  assert.equal(total(text, 'millrace_rows_in_total'), rowsIn);
  assert.ok(total(text, 'millrace_received_bytes_total') > job.progress().bytesIn, 'bytes of both executions');
});

test('Kafka: partitions that are assigned, rows, lag, and each request that was made again', async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const [input, output] = [await stage.topic(2), await stage.topic(1)];
  await stage.producer.send({
    topic: input,
    messages: Array.from({ length: 100 }, (_, i) => ({ partition: i % 2, value: JSON.stringify({ page: `/p${i % 3}`, ms: 1, at: i }) })),
  });
  const logger = kept();
  const job = await run(new URL('./pipelines/on-kafka.ts', import.meta.url), {
    workers: 1,
    trigger: 'availableNow',
    drain: 'emit',
    logger,
    params: { brokers: stage.brokers.join(','), input, output, group: `group-of-${input}` },
  });
  await job.done;
  const assigned = logger.lines.find(({ message }) => message === 'partitions are assigned');
  assert.deepEqual(assigned?.fields, { pipeline: assigned?.fields['pipeline'], source: `kafka ${input}`, partitions: 2, ids: '0-1' });
  assert.equal(total(job.metrics(), 'millrace_rows_in_total'), 100);
  // A broker whose group coordinator is not up yet is asked again: each time is counted, and said.
  assert.equal(
    total(job.metrics(), 'millrace_retries_total'),
    logger.lines.filter(({ level, message }) => level === 'debug' && message.startsWith('tried again')).length,
  );
  assert.match(job.metrics(), new RegExp(`millrace_lag\\{pipeline="[^"]+",source="kafka ${input}",partition="0"\\} 0`));
});
