// A compacted topic as a table: the latest record of each key, until a tombstone (a record without a value) takes it out.

import { bool, collect, f64, json, nullable, pipeline, raw, utf8 } from 'millrace';
import { kafka } from 'millrace/io/kafka';

export const results = collect();

export default ({ brokers, users, orders, group }: { brokers: string; users: string; orders: string; group: string }) => {
  const servers = brokers.split(',');
  const p = pipeline('compacted');
  const names = p
    .from(kafka.source({ brokers: servers, topic: users, group: `${group}-users`, value: raw() }))
    .map({ id: utf8, name: nullable(utf8), gone: bool }, ({ key, value }) => {
      const id = Buffer.from(key ?? []).toString();
      if (value === null) return { id, name: null, gone: true };
      return { id, name: JSON.parse(Buffer.from(value).toString()).name as string, gone: false };
    });
  return p
    .from(kafka.source({ brokers: servers, topic: orders, group: `${group}-orders`, value: json({ user: utf8, n: f64 }) }))
    .keyBy('user')
    .join(names.keyBy('id'), { type: 'left', deleted: 'gone' })
    .to(results);
};
