// Apache Beam's mobile gaming, GameStats: team scores without the users who score more than two and a half times the
// mean within five minutes, and how long users play without a break.

import { collect, count, f64, mean, pipeline, session, sum, tumbling } from 'millrace';
import { events } from './game-events.ts';
import { grouped, HOUR_MS, MINUTE_MS, type Port, total } from './port.ts';

const WEIGHT = 2.5;
const game = events(4_000);
const teams = collect();
const durations = collect();

const plays = pipeline('game-stats').from(game.source).withWatermark('at', '30s');
const perUser = plays
  .keyBy('user')
  .window(tumbling('5m'))
  .aggregate({ total: sum('score') });
const mean5m = perUser.windowAll(tumbling('5m')).aggregate({ mean: mean('total') });
const spammers = perUser
  .keyBy({ one: f64 }, () => ({ one: 1 }))
  .window(tumbling('5m'))
  .join(mean5m.keyBy({ one: f64 }, () => ({ one: 1 })))
  .filter((r) => r.total > (r.mean ?? 0) * WEIGHT);
plays
  .keyBy('user')
  .window(tumbling('5m'))
  .join(spammers.keyBy('user'), { type: 'left' })
  .filter((r) => r.total === null)
  .keyBy('team')
  .window(tumbling('1h'))
  .aggregate({ score: sum('score') })
  .to(teams);
export default plays
  .keyBy('user')
  .window(session('5m'))
  .aggregate({ events: count() })
  .windowAll(tumbling('30m'))
  .aggregate({ sessions: count(), meanMs: mean((r) => r.windowEnd - r.windowStart) })
  .to(durations);

// A plain loop.

const windowOf = (at: number): number => Math.floor(at / (5 * MINUTE_MS));

export const port: Port = {
  inputs: [game],
  outcomes: [
    {
      sink: teams,
      expected() {
        const honest = [...grouped(game.rows, (r) => windowOf(r.at)).values()].flatMap((rows) => {
          const totals = new Map([...grouped(rows, (r) => r.user)].map(([user, own]) => [user, total(own.map((r) => r.score))]));
          const most = (total([...totals.values()]) / totals.size) * WEIGHT;
          return rows.filter((r) => !((totals.get(r.user) as number) > most));
        });
        return [...grouped(honest, (r) => `${r.team} ${Math.floor(r.at / HOUR_MS)}`)].map(([key, own]) => {
          const [team, hour] = key.split(' ');
          const windowStart = Number(hour) * HOUR_MS;
          return { team, windowStart, windowEnd: windowStart + HOUR_MS, score: total(own.map((r) => r.score)) };
        });
      },
    },
    {
      sink: durations,
      expected() {
        const sessions = [...grouped(game.rows, (r) => r.user).values()].flatMap((rows) => {
          const found: { from: number; to: number }[] = [];
          for (const { at } of [...rows].sort((a, b) => a.at - b.at)) {
            const last = found.at(-1);
            if (last !== undefined && at < last.to) last.to = at + 5 * MINUTE_MS;
            else found.push({ from: at, to: at + 5 * MINUTE_MS });
          }
          return found;
        });
        return [...grouped(sessions, (r) => Math.floor((r.to - 1) / (30 * MINUTE_MS)))].map(([half, own]) => ({
          windowStart: Number(half) * 30 * MINUTE_MS,
          windowEnd: (Number(half) + 1) * 30 * MINUTE_MS,
          sessions: own.length,
          meanMs: total(own.map((r) => r.to - r.from)) / own.length,
        }));
      },
    },
  ],
};
