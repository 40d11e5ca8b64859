// Clicks whose schemas are in a registry: written by two versions of a program, read and counted by a third.

import { avro, binary, i32, i64, json, log, memory, nullable, pipeline, protobuf, raw, registry, utf8 } from 'millrace';
import { kafka } from 'millrace/io/kafka';

const V1 = {
  type: 'record',
  name: 'shop.Click',
  fields: [
    { name: 'page', type: 'string' },
    { name: 'ms', type: 'int' },
  ],
} as const;
const V2 = {
  type: 'record',
  name: 'shop.Click',
  fields: [
    { name: 'user', type: ['null', 'string'], default: null },
    { name: 'ms', type: 'long' },
    { name: 'page', type: 'string' },
  ],
} as const;
const READ = {
  type: 'record',
  name: 'shop.Click',
  fields: [
    { name: 'page', type: 'string' },
    { name: 'ms', type: 'double' },
    { name: 'user', type: ['null', 'string'], default: null },
  ],
} as const;
/** Cannot be read with the versions before: it has a field without a default. */
const V3 = { ...V1, fields: [...V1.fields, { name: 'city', type: 'string' }] } as const;

const PROTO = 'syntax = "proto3"; package shop; message Other { int32 x = 1; } message Click { string page = 1; int32 ms = 2; }';

interface Params {
  readonly dir: string;
  readonly url: string;
  readonly step: 'v1' | 'v2' | 'v3' | 'read' | 'unknown' | 'json' | 'readJson' | 'proto' | 'readProto' | 'kafka' | 'readKafka';
  readonly brokers?: readonly string[];
  readonly topic?: string;
  readonly timeout?: `${number}s`;
}

export default ({ dir, url, step, timeout = '60s', brokers = [], topic = 'clicks' }: Params) => {
  const schemas = registry({ url, timeout });
  const p = pipeline(`registered-${step}`);
  const to = { dir, topic: 'clicks', partitions: 1 };
  const rows = Array.from({ length: 5_000 }, (_, i) => ({ page: `/${i % 7}`, ms: i % 11, user: i % 2 === 0 ? null : 'ann', city: 'x' }));
  switch (step) {
    case 'v1':
      return p
        .from(
          memory(
            rows.map(({ page, ms }) => ({ page, ms })),
            { schema: { page: utf8, ms: i32 } },
          ),
        )
        .to(log.sink({ ...to, value: avro(V1, { registry: schemas }) }));
    case 'v2':
      return p
        .from(
          memory(
            rows.map(({ page, ms, user }) => ({ page, ms: BigInt(ms), user })),
            { schema: { page: utf8, ms: i64, user: nullable(utf8) } },
          ),
        )
        .to(log.sink({ ...to, value: avro(V2, { registry: schemas }) }));
    case 'v3':
      return p
        .from(
          memory(
            rows.map(({ page, ms, city }) => ({ page, ms, city })),
            { schema: { page: utf8, ms: i32, city: utf8 } },
          ),
        )
        .to(log.sink({ ...to, value: avro(V3, { registry: schemas }) }));
    case 'unknown':
      // An id that there is not, what is no such record, and one that is cut.
      return p
        .from(memory([{ value: 'AAAABNI=' }, { value: 'eyJ9' }, { value: 'AAAA' }], { schema: { value: utf8 } }))
        .map({ value: binary }, (r) => ({ value: new Uint8Array(Buffer.from(r.value, 'base64')) }))
        .to(log.sink({ ...to, value: raw() }));
    case 'json':
      return p
        .from(
          memory(
            rows.map(({ page, ms }) => ({ page, ms })),
            { schema: { page: utf8, ms: i32 } },
          ),
        )
        .to(log.sink({ ...to, topic: 'jsons', value: json(undefined, { registry: schemas }) }));
    case 'proto':
      return p
        .from(
          memory(
            rows.map(({ page, ms }) => ({ page, ms })),
            { schema: { page: utf8, ms: i32 } },
          ),
        )
        .to(log.sink({ ...to, topic: 'protos', value: protobuf(PROTO, { message: 'shop.Click', registry: schemas }) }));
    case 'readProto':
      return p
        .from(log.source({ dir, topic: 'protos', value: protobuf<{ page: string; ms: number }>(PROTO, { message: 'shop.Click', registry: schemas }) }))
        .keyBy('page')
        .count()
        .to(log.sink({ dir, topic: 'counts', partitions: 1, key: 'page', value: json() }));
    case 'kafka':
      return p
        .from(
          memory(
            rows.map(({ page, ms }) => ({ page, ms })),
            { schema: { page: utf8, ms: i32 } },
          ),
        )
        .to(kafka.sink({ brokers, topic, key: 'page', value: avro(V1, { registry: schemas }) }));
    case 'readKafka':
      return p
        .from(kafka.source({ brokers, topic, group: topic, value: avro(READ, { registry: schemas }) }))
        .keyBy('page')
        .count()
        .to(log.sink({ dir, topic: 'counts', partitions: 1, key: 'page', value: json() }));
    case 'readJson':
      return p
        .from(log.source({ dir, topic: 'jsons', value: json({ page: utf8, ms: i32 }, { registry: schemas }) }))
        .keyBy('page')
        .count()
        .to(log.sink({ dir, topic: 'counts', partitions: 1, key: 'page', value: json() }));
    default:
      return p
        .from(log.source({ dir, topic: 'clicks', value: avro(READ, { registry: schemas }) }))
        .keyBy('page')
        .count()
        .to(log.sink({ dir, topic: 'counts', partitions: 1, key: 'page', value: avro(undefined, { registry: schemas, name: 'shop.Count' }) }));
  }
};
