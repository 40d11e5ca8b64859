// What cannot be decoded, and what a function refuses, in topics of their own: the bytes as they were, and what was wrong with them.

import { binary, collect, f64, json, log, nullable, pipeline, raw, type Sink, type Source, utf8 } from 'millrace';
import { kafka } from 'millrace/io/kafka';

const row = { id: f64, name: utf8 };
export const results = collect();

export interface Params {
  readonly dir?: string;
  readonly brokers?: readonly string[];
  /** On Kafka: names of the topics. */
  readonly input?: string;
  readonly output?: string;
}

export default ({ dir = '', brokers, input = 'in', output = 'dead' }: Params) => {
  const source =
    brokers === undefined ? log.source({ dir, topic: input, value: json(row) }) : kafka.source({ brokers, topic: input, group: 'g', value: json(row) });
  const checked = pipeline('dead-letters')
    .from(source as Source<{ id: number; name: string }>)
    .filter((r) => {
      if (r.name === 'thirteen') throw new RangeError(`no ${r.id}`);
      return true;
    });
  checked.to(results as Sink);
  const dead = checked.errors;
  const letters = dead
    .filter((r) => r.bytes !== null)
    .map({ key: utf8, value: nullable(binary) }, (r) => ({ key: `${r.source}/${r.partition}/${r.offset}`, value: r.bytes }));
  if (brokers === undefined) {
    letters.to(log.sink({ dir, topic: output, key: 'key', value: raw(), partitions: 1 }) as Sink);
    return dead.to(log.sink({ dir, topic: `${output}.why`, value: json(), partitions: 1 }) as Sink);
  }
  letters.to(kafka.sink({ brokers, topic: output, key: 'key', value: raw() }) as Sink);
  return dead.to(kafka.sink({ brokers, topic: `${output}.why`, value: json() }) as Sink);
};
