// Clickstream: visits by a gap in time, and how far visitors get from seeing a product to buying it, on each
// device.
//
//   npx tsx examples/clickstream.ts          makes some hours of clicks on the embedded log, and follows them
//   npx tsx examples/clickstream.ts ./data   the same, and keeps the log in ./data
//
// One step of the funnel is broken on one device. The program ends with code 1 unless it finds which.

import { collect, count, generator, json, log, main, pipeline, type Rng, seededRng, session, timestamp, utf8 } from 'millrace';
import { Bernoulli } from 'millrace/core';
import { conclude, grouped, percent, runOnLog, table } from './on-log.ts';

/** In this order. */
export const STEPS = ['view', 'cart', 'checkout', 'buy'];
export const GAP_MS = 300_000;

const click = { user: utf8, device: utf8, step: utf8, at: timestamp };
export const visits = collect<Visit>();
export const reached = collect<Reached>();

function follow(dir: string) {
  const clicks = pipeline('clickstream')
    .from(log.source({ dir, topic: 'clicks', value: json(click) }))
    .withWatermark('at', '10s');

  // A visit is what a user does without a pause of five minutes.
  clicks.keyBy('user', 'device').window(session(GAP_MS)).aggregate({ clicks: count() }).to(visits);

  // The funnel goes in order: a step only counts after the step before it.
  return clicks
    .keyBy('user', 'device')
    .process({
      schema: { device: utf8, step: utf8 },
      state: () => ({ steps: 0, lastMs: 0 }),
      onRow(row, ctx) {
        if (row.at - ctx.state.lastMs > GAP_MS) ctx.state.steps = 0;
        ctx.state.lastMs = row.at;
        if (row.step !== STEPS[ctx.state.steps]) return;
        ctx.state.steps++;
        ctx.emit({ device: row.device, step: row.step });
      },
      // Drops the state of users who are gone; otherwise it would be kept forever.
      ttl: GAP_MS,
    })
    .keyBy('device', 'step')
    .count()
    .to(reached);
}

export interface Visit {
  readonly user: string;
  readonly device: string;
  readonly windowStart: number;
  readonly windowEnd: number;
  readonly clicks: number;
}

export interface Reached {
  readonly device: string;
  readonly step: string;
  readonly count: number;
}

// Hours of clicks. Visitors come on lanes. A lane has one visitor at a time, who may click every half a
// minute, up to eight times.

const START_MS = Date.UTC(2026, 0, 1, 8);
const LANES = 500;
const CLICKS_MAX = 8;
const USERS = 5_000;
export const SLOTS = 160_000;
export const DEVICES = ['desktop', 'phone', 'tablet'];
/**
 * Share of the visitors at a step who go on to the next. On a phone the form after the checkout is broken.
 */
const GO_ON = { cart: 0.4, checkout: 0.6, buy: 0.7, buyOnBrokenForm: 0.2 };
const BROKEN = { device: 'phone', from: 'checkout', to: 'buy' };

const visitRng = seededRng(2);

/** What a visitor does, click by click. */
function planOf(visit: number, device: string): string[] {
  const rng = visitRng;
  rng.seek(visit);
  // Some come by a link that leads right to the checkout, which is not the way through the funnel.
  const plan = rng.chance(0.03) ? ['checkout'] : [];
  for (let views = 1 + rng.int(3); views > 0; views--) plan.push('view');
  if (!rng.chance(GO_ON.cart)) return plan;
  plan.push('cart');
  if (rng.chance(0.3)) plan.push('view');
  if (!rng.chance(GO_ON.checkout)) return plan;
  plan.push('checkout');
  if (rng.chance(device === BROKEN.device ? GO_ON.buyOnBrokenForm : GO_ON.buy)) plan.push('buy');
  return plan;
}

/** The click on the lane that has slot `i`; the step is empty if there is none. */
export function clickAt(i: number, rng: Rng) {
  const turn = Math.floor(i / LANES);
  const visit = Math.floor(turn / CLICKS_MAX) * LANES + (i % LANES);
  const user = visit % USERS;
  const device = DEVICES[user % DEVICES.length] as string;
  const step = planOf(visit, device)[turn % CLICKS_MAX] ?? '';
  return { user: `user-${user}`, device, step, at: START_MS + i * 60 + rng.int(5_000) };
}

function make(dir: string) {
  return pipeline('make-clicks')
    .from(generator({ rows: SLOTS, seed: 1, schema: click, row: clickAt }))
    .filter((r) => r.step !== '')
    .to(log.sink({ dir, topic: 'clicks', key: 'user', value: json() }));
}

export default ({ dir, step = 'run' }: { dir: string; step?: 'make' | 'run' }) => (step === 'make' ? make(dir) : follow(dir));

main(import.meta.url, async () => {
  const { rowsIn, seconds } = await runOnLog(import.meta.url);
  console.log(`${grouped(rowsIn)} clicks in ${grouped(visits.rows.length)} visits, in ${seconds.toFixed(1)} s. How many came how far:\n`);
  // A running count is emitted whenever it has changed, so the last row of a key is its current value.
  const now = new Map(reached.rows.map(({ device, step, count }) => [`${device} ${step}`, count]));
  const at = (device: string, step: string) => now.get(`${device} ${step}`) ?? 0;
  const rows = DEVICES.flatMap((device) =>
    STEPS.map((step, s) => {
      const [here, before] = [at(device, step), s === 0 ? undefined : at(device, STEPS[s - 1] as string)];
      const goOn = before === undefined ? '' : percent(here / before);
      return { device: s === 0 ? device : '', step, visits: grouped(here), 'of the step before': goOn, '': '█'.repeat((48 * here) / at(device, 'view')) };
    }),
  );
  console.log(table(rows));

  // A step is broken on a device if its true rate is below that of every other device, with 99 % on either
  // side.
  const rate = (device: string, s: number) =>
    new Bernoulli({ trials: at(device, STEPS[s - 1] as string), successes: at(device, STEPS[s] as string) }).interval(2.576);
  const broken = [1, 2, 3].flatMap((s) =>
    DEVICES.filter((device) => DEVICES.every((other) => other === device || rate(device, s).high < rate(other, s).low)).map((device) => ({ device, s })),
  );
  const [found] = broken;
  const isFound = broken.length === 1 && found?.device === BROKEN.device && STEPS[found.s] === BROKEN.to;
  const { low, high } = rate(BROKEN.device, 3);
  conclude(
    isFound,
    `Found: from ${BROKEN.from} to ${BROKEN.to} a ${BROKEN.device} loses its visitors: ${percent(low)} to ${percent(high)} go on, elsewhere more than ${percent(rate('desktop', 3).low)}.\nNo other step differs between devices.`,
  );
});
