// Records of a log topic as they come: the decoded rows, and what an aggregation by key makes of them.

import {
  arrow,
  collect,
  count,
  f64,
  files,
  json,
  log,
  max,
  nullable,
  pipeline,
  raw,
  type Source,
  sliding,
  sum,
  text,
  timestamp,
  tumbling,
  utf8,
} from 'millrace';

export const rows = collect();
export const keys = collect();

/** Names that a plain object has without being asked. */
export const hostile = Object.fromEntries([
  ['__proto__', utf8],
  ['constructor', f64],
  ['toString', nullable(utf8)],
]);
export const event = { key: utf8, n: f64, at: timestamp };

export interface Params {
  readonly dir: string;
  readonly as: 'json' | 'arrow' | 'text' | 'raw' | 'hostile' | 'times' | 'sliding' | 'files';
}

export default ({ dir, as }: Params) => {
  const of = <R>(value: { schema: unknown; _row?: R }) => log.source({ dir, topic: 'in', value: value as never }) as Source<R>;
  switch (as) {
    case 'json':
    case 'arrow': {
      const stream = pipeline('values').from(of(as === 'json' ? json(event) : arrow(event)));
      stream.to(rows);
      return stream
        .keyBy('key')
        .aggregate({ rows: count(), sum: sum('n'), max: max('n') })
        .to(keys);
    }
    case 'text': {
      const stream = pipeline('values').from(of(text()));
      stream.to(rows);
      return stream.keyBy('value').count().to(keys);
    }
    case 'raw':
      return pipeline('values').from(of(raw())).select('key', 'value', 'partition', 'offset').to(rows);
    case 'hostile': {
      const stream = pipeline('values').from(of(json(hostile)));
      stream
        .filter((r) => (r.constructor as unknown) !== 13)
        .map(hostile, (r) => ({ ...r }))
        .to(rows);
      return stream
        .keyBy('__proto__')
        .aggregate(
          Object.fromEntries([
            ['valueOf', count()],
            ['hasOwnProperty', sum('constructor')],
          ]),
        )
        .to(keys);
    }
    case 'times':
    case 'sliding': {
      const stream = pipeline('values')
        .from(of(json(event)))
        .withWatermark('at', '1s');
      stream.to(rows);
      return stream
        .keyBy('key')
        .window(as === 'times' ? tumbling('1h') : sliding('1m', '10s'))
        .aggregate({ rows: count() })
        .to(keys);
    }
    case 'files':
      return pipeline('values')
        .from(files.source({ dir, ext: '.txt', value: text() }))
        .keyBy('value')
        .count()
        .to(keys);
  }
};
