// Log analytics with alerts: error rate and latency of each service by minute, and an alert for each minute
// that is unlike the service's minutes so far.
//
//   npx tsx examples/log-analytics.ts          makes an hour of requests on the embedded log, and watches it
//   npx tsx examples/log-analytics.ts ./data   the same, and keeps the log in ./data
//
// Two incidents are hidden in the hour. The program ends with code 1 unless the alerts name exactly these.

import { bool, collect, count, f64, generator, i32, json, log, main, mean, pipeline, quantile, type Rng, timestamp, tumbling, utf8 } from 'millrace';
import { Gaussian } from 'millrace/core';
import { bars, clock, conclude, grouped, percent, runOnLog, table } from './on-log.ts';

export const LEARNING_MINUTES = 10;
/** Six deviations: one minute in a billion, if minutes are normal. */
export const ALERT_Z = 6;

const request = { service: utf8, status: i32, ms: f64, at: timestamp };
export const minutes = collect<Minute>();
export const alerts = collect<Alert>();

function watch(dir: string) {
  const perMinute = pipeline('log-analytics')
    .from(log.source({ dir, topic: 'requests', value: json(request) }))
    .withWatermark('at', '5s')
    .map({ service: utf8, at: timestamp, ms: f64, failed: bool }, (r) => ({ service: r.service, at: r.at, ms: r.ms, failed: r.status >= 500 }))
    .keyBy('service')
    .window(tumbling('1m'))
    // The mean of a bool is the share of true.
    .aggregate({ requests: count(), errorRate: mean('failed'), meanMs: mean('ms'), p95Ms: quantile('ms', 0.95) });

  perMinute.to(minutes);
  return perMinute
    .keyBy('service')
    .process({
      schema: { service: utf8, minute: timestamp, signal: utf8, value: f64, usual: f64, z: f64 },
      // What is usual, by service and signal: mean and deviation of its minutes so far.
      state: () => ({ errorRate: new Gaussian().state, meanMs: new Gaussian().state }),
      onRow(minute, ctx) {
        for (const signal of ['errorRate', 'meanMs'] as const) {
          const usual = new Gaussian(ctx.state[signal]);
          const z = usual.zScore(minute[signal]);
          const { service, windowStart } = minute;
          if (usual.count >= LEARNING_MINUTES && z > ALERT_Z) ctx.emit({ service, minute: windowStart, signal, value: minute[signal], usual: usual.mean, z });
          // An incident is not learned: it must not become usual.
          else usual.add(minute[signal]);
        }
      },
    })
    .to(alerts);
}

export interface Minute {
  readonly service: string;
  readonly windowStart: number;
  readonly requests: number;
  readonly errorRate: number;
  readonly meanMs: number;
  readonly p95Ms: number;
}

export interface Alert {
  readonly service: string;
  readonly minute: number;
  readonly signal: string;
  readonly value: number;
  readonly usual: number;
  readonly z: number;
}

// The hour of requests, with its incidents.

export const REQUESTS = 200_000;
export const START_MS = Date.UTC(2026, 0, 1);
const SERVICES = ['cart', 'checkout', 'images', 'login', 'search', 'stock'];
export const INCIDENTS = [
  { service: 'search', signal: 'meanMs', fromMinute: 22, toMinute: 25, what: 'search was slow' },
  { service: 'checkout', signal: 'errorRate', fromMinute: 40, toMinute: 45, what: 'checkout failed' },
];

/** Request number `i`: one about every 18 ms, up to two seconds late. */
export function requestAt(i: number, rng: Rng) {
  const service = rng.pick(SERVICES);
  const at = START_MS + Math.floor((i * 3_598_000) / REQUESTS) + rng.int(2_000);
  const minute = Math.floor((at - START_MS) / 60_000);
  const incident = INCIDENTS.find((one) => one.service === service && minute >= one.fromMinute && minute < one.toMinute);
  const status = rng.chance(incident?.signal === 'errorRate' ? 0.1 : 0.01) ? 503 : rng.chance(0.03) ? 404 : 200;
  const ms = 20 * Math.exp(rng.normal(1, 0.5)) * (incident?.signal === 'meanMs' ? 1.6 : 1);
  return { service, status, ms: Math.round(ms * 8) / 8, at };
}

function make(dir: string) {
  return pipeline('make-requests')
    .from(generator({ rows: REQUESTS, seed: 1, schema: request, row: requestAt }))
    .to(log.sink({ dir, topic: 'requests', key: 'service', value: json() }));
}

export default ({ dir, step = 'run' }: { dir: string; step?: 'make' | 'run' }) => (step === 'make' ? make(dir) : watch(dir));

main(import.meta.url, async () => {
  const { rowsIn, seconds } = await runOnLog(import.meta.url);
  console.log(`${grouped(rowsIn)} requests in ${seconds.toFixed(1)} s. An hour of each service, minute by minute:\n`);
  const history = (service: string, signal: 'errorRate' | 'meanMs') => {
    const values = minutes.rows.filter((row) => row.service === service).map((row) => row[signal]);
    return bars(values, Math.max(...minutes.rows.map((row) => row[signal])));
  };
  console.log(table(SERVICES.map((service) => ({ service, errors: history(service, 'errorRate'), latency: history(service, 'meanMs') }))));

  console.log(`\nAlerts, more than ${ALERT_Z} deviations above the service's own past:\n`);
  const inOrder = [...alerts.rows].sort((a, b) => a.minute - b.minute);
  const shown = (signal: string, value: number) => (signal === 'errorRate' ? percent(value) : `${value.toFixed(1)} ms`);
  console.log(
    table(
      inOrder.map(({ service, minute, signal, value, usual, z }) => {
        return { minute: clock(minute), service, signal, value: shown(signal, value), usual: shown(signal, usual), z: z.toFixed(1) };
      }),
    ),
  );

  const planted = INCIDENTS.flatMap(({ service, signal, fromMinute, toMinute }) =>
    Array.from({ length: toMinute - fromMinute }, (_, m) => `${service} ${signal} ${START_MS + (fromMinute + m) * 60_000}`),
  );
  const found = inOrder.map(({ service, signal, minute }) => `${service} ${signal} ${minute}`);
  const times = INCIDENTS.map(
    ({ what, fromMinute, toMinute }) => `${what} from ${clock(START_MS + fromMinute * 60_000)} to ${clock(START_MS + toMinute * 60_000)}`,
  );
  conclude(found.join() === planted.join(), `Found: ${times.join(', and ')}.\nThese are the incidents that were hidden, and there is no other alert.`);
});
