// Pipelines that go wrong in one way each.

import { collect, f64, generator, memory, pipeline, utf8 } from 'millrace';

const rows = memory([{ page: '/a', ms: 1 }], { schema: { page: utf8, ms: f64 } });

export default ({ how }: { how: string }) => {
  switch (how) {
    case 'missing column':
      return pipeline('faulty')
        .from(rows)
        .select('nope' as 'page')
        .to(collect());
    case 'throws':
      return pipeline('faulty')
        .from(generator({ rows: 100_000, seed: 1, partitions: 2, schema: { n: f64 }, row: (i) => ({ n: i }) }))
        .filter((r) => {
          if (r.n === 77_777) throw new RangeError('no row like this');
          return true;
        })
        .to(collect());
    case 'row throws':
      return pipeline('faulty')
        .from(
          generator({
            rows: 10,
            seed: 1,
            schema: { n: f64 },
            row: (i) => {
              if (i === 3) throw new Error('row three');
              return { n: i };
            },
          }),
        )
        .to(collect());
    case 'exits':
      return pipeline('faulty')
        .from(rows)
        .map({ n: f64 }, () => process.exit(3))
        .to(collect());
    case 'no sink':
      return pipeline('faulty').from(rows);
    case 'not a pipeline':
      return 42;
    default:
      throw new Error(`no such fault: ${how}`);
  }
};
