// Functions that do not come back from one row, in every place where functions take rows.

import { aggregator, collect, count, f64, json, log, pipeline, session, timestamp, tumbling, utf8 } from 'millrace';

export const WHERE = [
  'filter',
  'map behind a fork',
  'map behind a filter and a fork',
  'map behind a flatMap and a fork',
  'flatMap',
  'behind mapBatches',
  'process',
  'reduce',
  'aggregator',
  'aggregator in windows',
  'aggregator in sessions',
  'reduce in sessions',
  'process behind process',
  'map behind process',
  'timer',
] as const;

const row = { id: f64, key: utf8, at: timestamp };
type Row = { readonly id: number; readonly key: string; readonly at: number };

export default ({ dir, where, at }: { dir: string; where: (typeof WHERE)[number]; at: number }) => {
  const hang = (id: number): void => {
    while (id === at) {}
  };
  const stuck = aggregator({ init: () => 0, add: (rows: number, r: Row) => (hang(r.id), rows + 1), merge: (a, b) => a + b, result: (rows) => rows });
  const reducer = (a: Row, b: Row): Row => (hang(b.id), { ...a, id: b.id });
  const source = pipeline('hanging').from(log.source({ dir, topic: 'in', value: json(row) }));
  const rows = source.withWatermark('at', 0);
  const byKey = rows.keyBy('key');
  const out = collect();
  const passed = (r: Row): Row => (hang(r.id), r);
  const onRow = (r: Row, ctx: { emit(row: Row): void }): void => (hang(r.id), ctx.emit(r));
  switch (where) {
    case 'filter':
      return source.filter((r) => (hang(r.id), r.id % 2 === 1)).to(out as never);
    case 'map behind a fork':
      source.to(out as never);
      return source.map(row, passed).to(out as never);
    case 'map behind a filter and a fork': {
      const some = source.filter((r) => r.id % 3 === 0);
      some.to(out as never);
      return some.map(row, passed).to(out as never);
    }
    case 'map behind a flatMap and a fork': {
      const twice = source.flatMap(row, (r, emit) => (emit(r), emit(r)));
      twice.to(out as never);
      return twice.map(row, passed).to(out as never);
    }
    case 'flatMap':
      return source.flatMap(row, (r, emit) => (emit(r), hang(r.id), emit(r))).to(out as never);
    case 'behind mapBatches':
      return source
        .mapBatches(row, (batch, to) => {
          for (const r of batch.toRows()) to.appendRow(r);
        })
        .map(row, passed)
        .to(out as never);
    case 'process':
      return byKey.process({ schema: row, onRow }).to(out as never);
    case 'reduce':
      return byKey.reduce(reducer).to(out as never);
    case 'aggregator':
      return byKey.aggregate({ stuck, rows: count() }).to(out as never);
    case 'aggregator in windows':
      return byKey
        .window(tumbling(100))
        .aggregate({ stuck })
        .to(out as never);
    case 'aggregator in sessions':
      return byKey
        .window(session(100))
        .aggregate({ stuck })
        .to(out as never);
    case 'reduce in sessions':
      return byKey
        .window(session(100))
        .reduce(reducer)
        .to(out as never);
    case 'process behind process':
      return byKey
        .process({ schema: row, onRow: (r: Row, ctx) => ctx.emit(r) })
        .keyBy('id')
        .process({ schema: row, onRow })
        .to(out as never);
    case 'map behind process':
      return byKey
        .process({ schema: row, onRow: (r: Row, ctx) => ctx.emit(r) })
        .map(row, passed)
        .to(out as never);
    case 'timer':
      return byKey.process({ schema: row, state: () => ({ id: 0 }), onRow: (r: Row, ctx) => ctx.timer(r.at), onTimer: (time) => hang(time) }).to(out as never);
  }
};
