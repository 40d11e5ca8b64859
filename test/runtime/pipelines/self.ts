// A pipeline and its program in one file. The first argument says how the program is started.

import { collect, f64, generator, main, pipeline, run } from 'millrace';

const results = collect();

export default pipeline('self')
  .from(generator({ rows: 10, seed: 1, schema: { n: f64 }, row: (i) => ({ n: i }) }))
  .to(results);

async function program(): Promise<void> {
  await (await run(import.meta.url, { workers: 2 })).done;
  console.log(`${results.rows.length} rows`);
}

const way = process.argv[2];
if (way === 'awaited') await program();
else if (way === 'throws')
  main(import.meta.url, () => {
    throw new Error('the program threw');
  });
else main(import.meta.url, program);
