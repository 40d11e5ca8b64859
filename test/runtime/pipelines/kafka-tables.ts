// Users of a compacted topic, whose tombstones take them out, counted by region into another one: a region without users becomes a tombstone there.

import { bool, collect, json, nullable, pipeline, raw, utf8 } from 'millrace';
import { kafka } from 'millrace/io/kafka';

/** The rows of the counts' topic, read back as a table. */
export const back = collect();

interface Params {
  readonly brokers: string;
  readonly users: string;
  readonly counts: string;
  readonly group: string;
  /** Reads the counts, in place of making them. */
  readonly isBack?: boolean;
}

export default ({ brokers, users, counts, group, isBack }: Params) => {
  const servers = brokers.split(',');
  const p = pipeline('kafka-tables');
  const table = (topic: string) =>
    p
      .from(kafka.source({ brokers: servers, topic, group, value: raw() }))
      .map({ id: utf8, text: nullable(utf8), gone: bool }, ({ key, value }) => ({
        id: Buffer.from(key ?? []).toString(),
        text: value === null ? null : Buffer.from(value).toString(),
        gone: value === null,
      }))
      .keyBy('id')
      .table({ delete: (r) => r.gone });
  if (isBack === true) return table(counts).to(back);
  return table(users)
    .groupBy({ region: utf8 }, (r) => ({ region: JSON.parse(r.text as string).region }))
    .count()
    .to(kafka.sink({ brokers: servers, topic: counts, key: 'region', value: json() }));
};
