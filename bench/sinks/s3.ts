/**
 * s3.sink beside the AWS SDK's Upload, rows of JSON into one object of a real S3-compatible store, in turns:
 *
 *   npm i --no-save @aws-sdk/client-s3 @aws-sdk/lib-storage
 *   npx tsx bench/sinks/s3.ts [--quick]
 *
 * Both ends of the sink run on this thread, so that its CPU time is all that a job would take. What counts is rows per
 * second of CPU time of this process; the object is read back, and both must have written the same bytes.
 */

import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { AwsClient } from 'aws4fetch';
import { BatchBuilder, createMemory, f64, SlabAllocator, schema, seededRng, timestamp, utf8 } from '../../core/index.ts';
import { json } from '../../io/index.ts';
import { s3 } from '../../io/s3/index.ts';
import type { SinkBlock } from '../../io/sink.ts';
import { startServer } from '../../scripts/servers/index.js';

const isQuick = process.argv.includes('--quick');
const ROWS = isQuick ? 50_000 : 1_000_000;
const ROUNDS = isQuick ? 1 : 5;
const BATCH_ROWS = 4_096;
const BUCKET = 'millrace-bench';
const PART_BYTES = 8 * 1_024 * 1_024;
const SDK: readonly string[] = ['@aws-sdk/client-s3', '@aws-sdk/lib-storage'];

const columns = schema({ page: utf8, user: utf8, ms: f64, at: timestamp });
const rng = seededRng(1);
const rows = Array.from({ length: ROWS }, (_, i) => ({
  page: `/page/${rng.int(1_000)}`,
  user: `user-${rng.int(100_000)}`,
  ms: rng.int(80_000) / 8,
  at: Date.UTC(2026, 0, 1) + i,
}));
const slabs = new SlabAllocator(createMemory(1 << 30));
const batches = Array.from({ length: Math.ceil(ROWS / BATCH_ROWS) }, (_, b) => {
  const builder = new BatchBuilder(slabs, columns, BATCH_ROWS);
  for (const row of rows.slice(b * BATCH_ROWS, (b + 1) * BATCH_ROWS)) builder.appendRow(row);
  return builder.finish();
});

const server = await startServer('s3');
const { endpoint, region, credentials } = server.connect;
const plain = new AwsClient({ ...credentials, region, service: 's3' });
await plain.fetch(`${endpoint}/${BUCKET}`, { method: 'PUT' });

async function ours(): Promise<string> {
  const sink = s3.sink({ endpoint, region, credentials, bucket: BUCKET, path: 'ours', value: json(), partBytes: PART_BYTES });
  const writer = await sink.open({ schema: columns, pipeline: 'bench', signal: new AbortController().signal });
  const made: { block: SinkBlock; slab: number }[] = [];
  const encoder = sink.encoder({
    memory: slabs.memory,
    slabs,
    schema: columns,
    info: writer.info,
    position: () => ({ epoch: 1, shard: 0 }),
    block: (partition, rowCount, slab, byteLength) =>
      void made.push({ slab, block: { epoch: 1, unit: 0, partition, rowCount, bytes: slabs.memory.u8.subarray(slab, slab + byteLength) } }),
  });
  for (const batch of batches) {
    encoder.write(batch);
    for (const { block, slab } of made.splice(0)) {
      await writer.write(block);
      slabs.free(slab);
    }
  }
  encoder.flush();
  for (const { block } of made) await writer.write(block);
  await writer.commit(1);
  await writer.close();
  return 'ours/part-0000000001-00000.jsonl';
}

// biome-ignore lint/suspicious/noExplicitAny: the SDK is not installed as a rule, nor are its types
const [client, storage] = (await Promise.all(SDK.map((name) => import(name))).catch(() => [])) as any[];

async function sdk(): Promise<string> {
  const connection = new client.S3Client({ endpoint, region, credentials: { ...credentials }, forcePathStyle: true });
  function* chunks(): Generator<Buffer> {
    for (let at = 0; at < ROWS; at += BATCH_ROWS) {
      let text = '';
      for (let i = at; i < Math.min(ROWS, at + BATCH_ROWS); i++) text += `${JSON.stringify(rows[i])}\n`;
      yield Buffer.from(text);
    }
  }
  const params = { Bucket: BUCKET, Key: 'sdk.jsonl', Body: Readable.from(chunks()) };
  await new storage.Upload({ client: connection, params, partSize: PART_BYTES }).done();
  connection.destroy();
  return 'sdk.jsonl';
}

async function digest(key: string): Promise<string> {
  const answer = await plain.fetch(`${endpoint}/${BUCKET}/${key}`);
  return createHash('sha256')
    .update(Buffer.from(await answer.arrayBuffer()))
    .digest('hex');
}

const contestants = { ours, ...(storage === undefined ? {} : { sdk }) };
const speeds: Record<string, number[]> = {};
const digests = new Set<string>();
try {
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, work] of Object.entries(contestants)) {
      const before = process.cpuUsage();
      const key = await work();
      const { user, system } = process.cpuUsage(before);
      (speeds[name] ??= []).push(ROWS / ((user + system) / 1e6));
      digests.add(await digest(key));
    }
  }
} finally {
  await server.stop();
}
const median = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;
for (const [name, values] of Object.entries(speeds)) console.log(`${name}: ${Math.round(median(values)).toLocaleString('en')} rows per second of CPU time`);
if (speeds['sdk'] === undefined) console.log(`The AWS SDK is not there: npm i --no-save ${SDK.join(' ')}`);
else console.log(`ours over the SDK: ${(median(speeds['ours'] as number[]) / median(speeds['sdk'])).toFixed(2)}`);
if (digests.size !== 1) console.log('WRONG: they have not written the same bytes');
process.exit(digests.size === 1 ? 0 : 1);
