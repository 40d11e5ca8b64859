// The broadcast state of Apache Flink's guide: pairs of things of one colour, of two shapes in a row. Which shapes make
// a pair say rules, which every worker has whole.

import { broadcast, collect, f64, pipeline, timestamp, utf8 } from 'millrace';
import { made, type Port, START_MS } from './port.ts';

const SHAPES = ['circle', 'square', 'triangle', 'star'];
const items = made({ id: f64, colour: utf8, shape: utf8, at: timestamp }, 2_000, itemAt);
const rules = made({ name: utf8, first: utf8, second: utf8 }, 5, ruleAt, { isTable: true });
const pairs = collect();

const p = pipeline('broadcast-state');
export default p
  .from(items.source)
  .keyBy('colour')
  .connect(broadcast(p.from(rules.source).keyBy('name')))
  .process({
    schema: { rule: utf8, colour: utf8, first: f64, second: f64 },
    state: () => new Map<string, number[]>(),
    onRow({ id, colour, shape }, ctx) {
      for (const [rule, { first, second }] of ctx.table) {
        const waiting = ctx.state.get(rule) ?? [];
        if (shape === second) for (const other of waiting.splice(0)) ctx.emit({ rule, colour, first: other, second: id });
        if (shape === first) waiting.push(id);
        ctx.state.set(rule, waiting);
      }
    },
  })
  .to(pairs);

// The data, and a plain loop.

function itemAt(i: number, rng: { int(below: number): number }) {
  return { id: i, colour: ['red', 'green', 'blue'][rng.int(3)] as string, shape: SHAPES[rng.int(4)] as string, at: START_MS + i * 1_000 };
}

function ruleAt(i: number) {
  return { name: `rule-${i}`, first: SHAPES[i % 4] as string, second: SHAPES[(i * i + 1) % 4] as string };
}

export const port: Port = {
  inputs: [items, rules],
  outcomes: [
    {
      sink: pairs,
      expected: () =>
        rules.rows.flatMap(({ name, first, second }) =>
          ['red', 'green', 'blue'].flatMap((colour) => {
            const found: object[] = [];
            let waiting: number[] = [];
            for (const { id, shape } of items.rows.filter((r) => r.colour === colour)) {
              if (shape === second) {
                found.push(...waiting.map((other) => ({ rule: name, colour, first: other, second: id })));
                waiting = [];
              }
              if (shape === first) waiting.push(id);
            }
            return found;
          }),
        ),
    },
  ],
};
