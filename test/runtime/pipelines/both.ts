// One collect() for two streams.

import { collect, f64, memory, pipeline } from 'millrace';

export const all = collect<{ n: number }>();

export default ({ upTo }: { readonly upTo: number }) => {
  const rows = Array.from({ length: upTo }, (_, at) => ({ n: at + 1 }));
  const numbers = pipeline('both').from(memory(rows, { schema: { n: f64 } }));
  numbers.filter((r) => r.n % 2 === 0).to(all);
  return numbers.map({ n: f64 }, (r) => ({ n: -r.n })).to(all);
};
