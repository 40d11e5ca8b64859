// A web server that answers from running totals of page clicks while the job runs, with no store in between.
//
//   npx tsx examples/live-view.ts [port]
//   curl 'localhost:8080/page?name=/page/3'
//   curl 'localhost:8080/top?n=5'
//
// The clicks do not end; stop it with Ctrl-C.

import { createServer } from 'node:http';
import { count, f64, generator, main, mean, pipeline, quantile, run, utf8 } from 'millrace';

export default ({ rowsPerSecond = 20_000 }: { rowsPerSecond?: number }) =>
  pipeline('clicks-so-far')
    .from(
      generator({
        rowsPerSecond,
        seed: 1,
        schema: { page: utf8, ms: f64 },
        // Low numbers are frequent, high ones rare.
        row: (_, rng) => ({ page: `/page/${Math.floor(1_000 * rng() ** 3)}`, ms: 1 + rng.int(900) }),
      }),
    )
    .keyBy('page')
    .aggregate({ clicks: count(), meanMs: mean('ms'), slowMs: quantile('ms', 0.99) })
    .as('pages');

interface PageTotals {
  readonly page: string;
  readonly clicks: number;
  readonly meanMs: number;
  readonly slowMs: number;
}

main(import.meta.url, async () => {
  const job = await run(import.meta.url, { workers: 1, trigger: '100ms' });
  const pages = job.view<PageTotals>('pages');
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
    const n = Math.min(1_000, Math.max(1, Math.floor(Number(searchParams.get('n') ?? 10)) || 1));
    const answer = pathname === '/page' ? pages.get(searchParams.get('name') ?? '') : pages.top(n, { by: 'clicks' });
    response.writeHead(answer === undefined ? 404 : 200, { 'content-type': 'application/json' });
    response.end(`${JSON.stringify({ asOfEpoch: pages.epoch, answer: answer ?? null }, undefined, 1)}\n`);
  });
  server.listen(Number(process.argv[2] ?? 8080), '127.0.0.1', () => {
    const { port } = server.address() as { port: number };
    console.log(`http://127.0.0.1:${port}/top?n=5 answers from the running job; Ctrl-C ends it`);
  });
  process.once('SIGINT', async () => {
    server.closeAllConnections();
    server.close();
    await job.stop();
  });
});
