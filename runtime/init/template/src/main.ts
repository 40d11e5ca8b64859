// The program: starts the feed and the pipeline, and stops both on SIGINT or SIGTERM. What was read is finished first.

import { type Job, run } from 'millrace';

const dir = process.env['DATA_DIR'] ?? 'data';
const brokers = process.env['BROKERS'];
const port = Number(process.env['PORT'] ?? 4_000);
const host = process.env['HOST'] ?? '127.0.0.1';
const params = { dir: `${dir}/topics`, ...(brokers === undefined ? {} : { brokers }) };

let feed: Job | undefined;
let clicks: Job | undefined;
let isStopping = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (isStopping) process.exit(1);
    isStopping = true;
    console.error(`${signal}: what was read is finished; a second signal ends at once`);
    // `done`, below, reports what goes wrong meanwhile.
    void feed?.stop().catch(() => {});
    void clicks?.stop().catch(() => {});
  });
}

feed = await run(new URL('./feed.ts', import.meta.url), { workers: 1, memory: '256MiB', params: { ...params, startMs: Date.now() } });
clicks = await run(new URL('./clicks.ts', import.meta.url), {
  workers: 1,
  params,
  checkpoint: { dir: `${dir}/state` },
  dashboard: { port, host },
});
console.error(`live page at ${clicks.dashboardUrl}/, metrics at ${clicks.dashboardUrl}/metrics`);
if (isStopping) await Promise.all([feed.stop(), clicks.stop()]);
await Promise.all([feed.done, clicks.done]);
