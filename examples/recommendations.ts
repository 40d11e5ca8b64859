// Recommendations by co-occurrence: what is bought together with an item, in each shop.
//
//   npx tsx examples/recommendations.ts          makes a day of purchases on the embedded log, and learns
//   npx tsx examples/recommendations.ts ./data   the same, and keeps the log in ./data
//
// The shops' habits are built into the data. The program ends with code 1 unless its recommendations follow
// them.

import { collect, f64, generator, json, log, main, pipeline, type Rng, seededRng, session, timestamp, utf8 } from 'millrace';
import { Cooccurrence } from 'millrace/core';
import { conclude, grouped, percent, runOnLog, table } from './on-log.ts';

const DAY_MS = 86_400_000;
export const GAP_MS = 600_000;
export const MOST = 3;
/** A buyer of one item must be at least twice as likely as anybody to buy the other. */
export const LIFT_MIN = 2;

const purchase = { shop: utf8, user: utf8, item: utf8, at: timestamp };
export const recommendations = collect<Recommendation>();

function learn(dir: string) {
  const baskets = pipeline('recommendations')
    .from(log.source({ dir, topic: 'purchases', value: json(purchase) }))
    .withWatermark('at', '1m')
    .keyBy('shop', 'user')
    // A basket is what somebody buys without a pause of ten minutes. collect() gives a JSON array.
    .window(session(GAP_MS))
    .aggregate({ items: collect('item') });

  return baskets
    .keyBy('shop')
    .process({
      schema: { shop: utf8, item: utf8, rank: f64, other: utf8, probability: f64, lift: f64 },
      state: () => new Cooccurrence<string>().state,
      onRow(basket, ctx) {
        new Cooccurrence(ctx.state).add(JSON.parse(basket.items));
        // One timer per day, however many baskets set it.
        ctx.timer((Math.floor(ctx.time / DAY_MS) + 1) * DAY_MS);
      },
      onTimer(_, ctx) {
        const together = new Cooccurrence(ctx.state);
        for (const item of together.items()) {
          // With P(other | item) alone everybody would be told to buy a bag, because most people do.
          const others = together.likeliest(item, Number.POSITIVE_INFINITY).filter(({ item: other }) => together.lift(other, item) > LIFT_MIN);
          others.slice(0, MOST).forEach(({ item: other, probability }, place) => {
            ctx.emit({ shop: ctx.key.shop, item, rank: place + 1, other, probability, lift: together.lift(other, item) });
          });
        }
      },
    })
    .to(recommendations);
}

export interface Recommendation {
  readonly shop: string;
  readonly item: string;
  readonly rank: number;
  readonly other: string;
  readonly probability: number;
  readonly lift: number;
}

// A day of purchases. Shoppers come on lanes. A lane has one shopper at a time, who takes up to six items,
// one every twenty seconds.

const START_MS = Date.UTC(2026, 0, 1, 8);
const LANES = 200;
const ITEMS_MAX = 6;
const USERS = 6_000;
export const SLOTS = 120_000;
export const SHOPS = ['harbour', 'station'];
const ITEMS = 'apples bag beer bread butter chips coffee cream eggs filters flour lemon milk oil onions pasta rice salt sugar tea tomatoes wine'.split(' ');
const BAG = { item: 'bag', probability: 0.6 };
/**
 * Whoever takes the first item takes the second with this probability. Tea goes with different things in
 * different shops.
 */
export const HABITS = [
  { shop: 'harbour', item: 'tea', other: 'milk', probability: 0.6 },
  { shop: 'station', item: 'tea', other: 'lemon', probability: 0.5 },
  ...SHOPS.flatMap((shop) => [
    { shop, item: 'pasta', other: 'tomatoes', probability: 0.55 },
    { shop, item: 'coffee', other: 'filters', probability: 0.4 },
    { shop, item: 'beer', other: 'chips', probability: 0.7 },
  ]),
];

const basketRng = seededRng(2);

/** What somebody buys: one or two items, what they go with, and a bag. */
function basketOf(number: number, shop: string): string[] {
  const rng = basketRng;
  rng.seek(number);
  const basket: string[] = [];
  for (let wanted = 1 + rng.int(2); wanted > 0; wanted--) {
    const item = rng.pick(ITEMS.filter((name) => name !== BAG.item));
    basket.push(item);
    for (const habit of HABITS) if (habit.shop === shop && habit.item === item && rng.chance(habit.probability)) basket.push(habit.other);
  }
  if (rng.chance(BAG.probability)) basket.push(BAG.item);
  return basket;
}

/** The purchase on the lane that has slot `i`; the item is empty if there is none. */
export function purchaseAt(i: number, rng: Rng) {
  const turn = Math.floor(i / LANES);
  const basket = Math.floor(turn / ITEMS_MAX) * LANES + (i % LANES);
  const user = basket % USERS;
  const shop = SHOPS[user % SHOPS.length] as string;
  const item = basketOf(basket, shop)[turn % ITEMS_MAX] ?? '';
  return { shop, user: `user-${user}`, item, at: START_MS + i * 100 + rng.int(10_000) };
}

function make(dir: string) {
  return pipeline('make-purchases')
    .from(generator({ rows: SLOTS, seed: 1, schema: purchase, row: purchaseAt }))
    .filter((r) => r.item !== '')
    .to(log.sink({ dir, topic: 'purchases', key: 'user', value: json() }));
}

export default ({ dir, step = 'run' }: { dir: string; step?: 'make' | 'run' }) => (step === 'make' ? make(dir) : learn(dir));

main(import.meta.url, async () => {
  const { rowsIn, seconds } = await runOnLog(import.meta.url);
  const items = [...new Set(HABITS.map(({ item }) => item))];
  console.log(`${grouped(rowsIn)} purchases in ${seconds.toFixed(1)} s. Who takes ${items.join(', ')} also takes:\n`);
  const of = (shop: string, item: string) => recommendations.rows.filter((row) => row.shop === shop && row.item === item).sort((a, b) => a.rank - b.rank);
  console.log(
    table(
      items.flatMap((item) =>
        SHOPS.flatMap((shop) =>
          of(shop, item).map(({ rank, other, probability, lift }) => {
            return {
              item: rank === 1 ? item : '',
              shop: rank === 1 ? shop : '',
              also: other,
              'P(also | item)': percent(probability),
              'times as likely': lift.toFixed(1),
            };
          }),
        ),
      ),
    ),
  );
  const isFound = HABITS.every(({ shop, item, other }) => of(shop, item)[0]?.other === other) && recommendations.rows.every(({ other }) => other !== BAG.item);
  conclude(
    isFound,
    'Found: every habit that was put into the data. Tea goes with milk at the harbour and with lemon at the station;\nnobody is told to buy a bag, though most do: they do so with everything.',
  );
});
