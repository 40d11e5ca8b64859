// Running sums by key over whatever there is to read: files of a folder, one file, a topic, or rows that are made.

import { count, f64, files, generator, json, log, memory, pipeline, type Source, sum, utf8 } from 'millrace';
import { kafka } from 'millrace/io/kafka';

const schema = { key: utf8, n: f64 };
const value = json(schema);

export interface Params {
  readonly input?: string;
  readonly path?: string;
  readonly brokers?: readonly string[];
  readonly topic?: string;
  /** The folder of a log that has the topic `in`. */
  readonly logDir?: string;
  /** Rows in memory; or of a generator, with a pace or without. */
  readonly inMemory?: number;
  readonly generated?: number;
  readonly rowsPerSecond?: number;
  readonly output: string;
}

export interface Row {
  readonly key: string;
  readonly n: number;
}

export const rowOf = (n: number): Row => ({ key: `k${n % 7}`, n });

function source({ input, path, brokers = [], topic = '', logDir, inMemory, generated, rowsPerSecond }: Params): Source<Row> {
  if (logDir !== undefined) return log.source({ dir: logDir, topic: 'in', value });
  if (inMemory !== undefined)
    return memory(
      Array.from({ length: inMemory }, (_, n) => rowOf(n)),
      { schema },
    );
  if (generated !== undefined) return generator({ rows: generated, seed: 1, schema, row: rowOf, ...(rowsPerSecond === undefined ? {} : { rowsPerSecond }) });
  if (input !== undefined) return files.source({ dir: input, value });
  if (path !== undefined) return files.source({ path, value });
  return kafka.source({ brokers, topic, group: topic, value });
}

export default (params: Params) =>
  pipeline('sums')
    .from(source(params))
    .keyBy('key')
    .aggregate({ rows: count(), n: sum('n') })
    .to(files.sink({ dir: params.output, value: json(), changelog: 'append' }));
