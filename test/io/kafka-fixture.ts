/**
 * For the Kafka tests: topics with names of their own, a plain kafkajs beside ours, a codec that takes values as they
 * are, and a source context whose credit the test gives by hand.
 */

import { randomBytes } from 'node:crypto';
import type { TestContext } from 'node:test';
import { type Admin, Kafka, logLevel, type Producer } from 'kafkajs';
import { type Batch, BatchBuilder, nullable, schema, utf8 } from '../../core/index.ts';
import type { Codec, RecordIndex } from '../../io/codec.ts';
import { type KafkaSourceOptions, kafka } from '../../io/kafka/index.ts';
import type { Holdings } from '../../io/sink.ts';
import type { CommittedPosition, Offset, SourceContext, SourceReader } from '../../io/source.ts';
import { kafkaBroker } from '../kafka-broker.ts';
import { decodeFrames, type EmittedFrame } from './harness.ts';

process.env['KAFKAJS_NO_PARTITIONER_WARNING'] = '1';

export interface TextRow {
  readonly key: string | null;
  readonly value: string;
}

/** Key and value of a record as text; as a sink it writes the column `value`. */
export const textValue: Codec<TextRow> = {
  name: 'text-value',
  schema: schema({ key: nullable(utf8), value: utf8 }),
  decoder({ memory, slabs, batchRows }) {
    const builder = new BatchBuilder(slabs, textValue.schema as NonNullable<Codec['schema']>, batchRows);
    let records: RecordIndex | undefined;
    let from = 0;
    let at = 0;
    const text = (addresses: number, lengths: number, i: number): string | null => {
      const length = memory.i32[(lengths >>> 2) + i] as number;
      const address = memory.u32[(addresses >>> 2) + i] as number;
      return length < 0 ? null : Buffer.from(memory.u8.slice(address, address + length)).toString('latin1');
    };
    return {
      open(list) {
        records = list;
        at = 0;
      },
      next(): Batch | undefined {
        if (records === undefined || at >= records.count) return undefined;
        builder.reset();
        from = at;
        for (; at < records.count && builder.rowCount < batchRows; at++) {
          builder.appendRow({ key: text(records.keys, records.keyLengths, at), value: text(records.values, records.valueLengths, at) ?? '' });
        }
        return builder.finish();
      },
      recordOf: (row) => from + row,
    };
  },
  encoder: ({ memory }, { fields }) => ({
    wholeBatch: false,
    encode(batch, first, to, address, limit, ends) {
      const column = fields.findIndex((field) => field.name === 'value');
      let at = address;
      for (let row = first; row < to; row++) {
        const bytes = Buffer.from(batch.value(column, row) as string, 'latin1');
        if (at + bytes.length > limit) return row - first;
        memory.u8.set(bytes, at);
        at += bytes.length;
        memory.u32[(ends >>> 2) + row - first] = at;
      }
      return to - first;
    },
  }),
};

/** What a Kafka test works with. Everything is closed when the test ends. */
export interface Stage {
  readonly brokers: string[];
  /** An ordinary kafkajs: the one that an application in this process would have. */
  readonly plain: Kafka;
  readonly admin: Admin;
  readonly producer: Producer;
  topic(partitions?: number, config?: Record<string, string>): Promise<string>;
  open(options: Partial<KafkaSourceOptions> & { topic: string }, context?: ContextOptions): Promise<Reading>;
}

export interface ContextOptions {
  readonly drain?: boolean;
  readonly from?: ReadonlyMap<number, Offset>;
  readonly holdings?: Holdings;
  /** Frames that a partition may emit before it has to wait. Default: no limit. */
  readonly credit?: number;
}

/** An open source and what it has emitted. */
export interface Reading {
  readonly reader: SourceReader;
  readonly positions: CommittedPosition[];
  readonly frames: EmittedFrame[];
  readonly ended: Set<number>;
  readonly high: Map<number, number>;
  readonly assignments: (readonly number[])[];
  readonly failures: unknown[];
  /** What it said that it waits for, and undefined where that was over. */
  readonly waits: (string | undefined)[];
  /** Gives credit for so many more frames of the partition. */
  give(partition: number, frames: number): void;
  /** Values in order by partition and offset. */
  values(): string[];
  /** Those of one partition. */
  valuesOf(partition: number): string[];
  /** Rows that the decoder refuses; of one reason, or of all. */
  rejected(reason?: string): number;
}

/** @param own addresses of a broker that the test has started for itself */
export async function openStage(t: TestContext, own?: string[]): Promise<Stage | undefined> {
  const brokers = own ?? (await kafkaBroker(t));
  if (brokers === undefined) return undefined;
  const plain = new Kafka({ brokers, logLevel: logLevel.NOTHING });
  const admin = plain.admin();
  const producer = plain.producer({ allowAutoTopicCreation: false });
  await Promise.all([admin.connect(), producer.connect()]);
  const closes: (() => Promise<void>)[] = [() => admin.disconnect(), () => producer.disconnect()];
  t.after(async () => {
    for (const close of closes.reverse()) await close();
  });
  return {
    brokers,
    plain,
    admin,
    producer,
    async topic(numPartitions = 1, config = {}) {
      const topic = `${t.name.replaceAll(/[^a-z0-9]+/gi, '-').slice(0, 60)}-${randomBytes(4).toString('hex')}`;
      await admin.createTopics({
        topics: [{ topic, numPartitions, configEntries: Object.entries(config).map(([name, value]) => ({ name, value })) }],
        // kafkajs's own waiting fails where the broker has not heard of the topic yet.
        waitForLeaders: false,
      });
      await until(`the topic ${topic}`, () =>
        admin.fetchTopicMetadata({ topics: [topic] }).then(
          ({ topics }) => topics[0]?.partitions.length === numPartitions && topics[0].partitions.every(({ leader }) => leader >= 0),
          () => false,
        ),
      );
      // A leader that does not know of its partition yet refuses rows, and kafkajs then sends the request once more
      // whole, to the partitions that had taken it as well.
      await until(`the leaders of ${topic}`, async () => (await admin.fetchTopicOffsets(topic).catch(() => [])).length === numPartitions);
      return topic;
    },
    async open(options, contextOptions = {}) {
      const reading = await openReading({ brokers, group: `group-${options.topic}`, value: textValue, ...options }, contextOptions);
      closes.push(() => reading.reader.close());
      return reading;
    },
  };
}

async function openReading(
  options: KafkaSourceOptions,
  { drain = false, from, holdings, credit = Number.POSITIVE_INFINITY }: ContextOptions,
): Promise<Reading> {
  const source = kafka.source(options);
  const frames: EmittedFrame[] = [];
  const ended = new Set<number>();
  const high = new Map<number, number>();
  const assignments: (readonly number[])[] = [];
  const failures: unknown[] = [];
  const waits: (string | undefined)[] = [];
  const credits = new Map<number, number>();
  const waiting = new Map<number, () => void>();
  const left = (partition: number): number => credits.get(partition) ?? credit;
  const context: SourceContext = {
    drain,
    ...(from && { from }),
    ...(holdings && { holdings }),
    signal: new AbortController().signal,
    emit(partition, bytes, first, next, flags = 0, cut = 0) {
      frames.push({ partition, bytes: bytes.slice(), first, next, flags, cut });
      credits.set(partition, left(partition) - 1);
      return left(partition) > 0;
    },
    credit: (partition) => (left(partition) > 0 ? Promise.resolve() : new Promise((resolve) => waiting.set(partition, resolve))),
    end: (partition) => void ended.add(partition),
    high: (partition, end) => void high.set(partition, end),
    assigned: (partitions) => void assignments.push(partitions),
    waiting: (what) => void waits.push(what),
    fail: (error) => void failures.push(error),
  };
  const reader = await source.open(context);
  const positions = await reader.positions().catch(async (error) => {
    await reader.close();
    throw error;
  });
  reader.start();
  return {
    reader,
    positions,
    frames,
    ended,
    high,
    assignments,
    failures,
    waits,
    give(partition, more) {
      credits.set(partition, left(partition) + more);
      waiting.get(partition)?.();
      waiting.delete(partition);
    },
    valuesOf: (partition) =>
      decodeFrames(
        source,
        frames.filter((frame) => frame.partition === partition),
        { memoryBytes: 256 << 20 },
      ).rows.map(({ row }) => (row as unknown as TextRow).value),
    values: () => decodeFrames(source, frames, { memoryBytes: 256 << 20 }).rows.map(({ row }) => (row as unknown as TextRow).value),
    rejected: (reason) =>
      decodeFrames(source, frames)
        .rejections.filter((rejection) => reason === undefined || rejection.reason === reason)
        .reduce((sum, rejection) => sum + rejection.rows, 0),
  };
}

/** Waits until `condition` holds; fails with `what` after `seconds`. */
export async function until(what: string, condition: () => boolean | Promise<boolean>, seconds = 20): Promise<void> {
  for (const deadline = Date.now() + seconds * 1000; !(await condition()); ) {
    if (Date.now() > deadline) throw new Error(`waited ${seconds} s for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * A record batch v2 of these values, written field by field and independently of the package: kafkajs's producer takes
 * time quadratic in the number of records, so the large ones are made here.
 */
export function recordBatchOf(values: readonly string[]): Buffer {
  const records: Buffer[] = [];
  values.forEach((text, offsetDelta) => {
    const value = Buffer.from(text, 'latin1');
    const body = Buffer.concat([Buffer.of(0), varint(0), varint(offsetDelta), varint(-1), varint(value.length), value, varint(0)]);
    records.push(varint(body.length), body);
  });
  const behindCrc = Buffer.alloc(40);
  behindCrc.writeInt32BE(values.length - 1, 2);
  behindCrc.writeBigInt64BE(BigInt(Date.now()), 6);
  behindCrc.writeBigInt64BE(BigInt(Date.now()), 14);
  behindCrc.writeBigInt64BE(-1n, 22);
  behindCrc.writeInt16BE(-1, 30);
  behindCrc.writeInt32BE(-1, 32);
  behindCrc.writeInt32BE(values.length, 36);
  const checked = Buffer.concat([behindCrc, ...records]);
  const head = Buffer.alloc(21);
  head.writeInt32BE(9 + checked.length, 8);
  head.writeInt32BE(-1, 12);
  head.writeInt8(2, 16);
  head.writeUInt32BE(crc32c(checked), 17);
  return Buffer.concat([head, checked]);
}

function varint(value: number): Buffer {
  let rest = ((value << 1) ^ (value >> 31)) >>> 0;
  const bytes: number[] = [];
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]);
}

function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}
