// Apache Beam's mobile gaming, LeaderBoard: what each team has scored in each hour, as it goes on and as late events
// come, and what each user has scored so far.

import { collect, pipeline, sum, tumbling } from 'millrace';
import { events } from './game-events.ts';
import { grouped, HOUR_MS, type Port, total } from './port.ts';

const game = events(4_000);
const teams = collect();
const users = collect();

const plays = pipeline('leader-board').from(game.source).withWatermark('at', '1s');
plays
  .keyBy('team')
  .window(tumbling('1h').lateness('2h').emit('update'))
  .aggregate({ score: sum('score') })
  .to(teams);
export default plays
  .keyBy('user')
  .aggregate({ score: sum('score') })
  .to(users);

// A plain loop.

export const port: Port = {
  inputs: [game],
  outcomes: [
    {
      sink: teams,
      latestBy: ['team', 'windowStart'],
      expected: () =>
        [...grouped(game.rows, (r) => `${r.team} ${Math.floor(r.at / HOUR_MS)}`)].map(([key, own]) => {
          const [team, hour] = key.split(' ');
          const windowStart = Number(hour) * HOUR_MS;
          return { team, windowStart, windowEnd: windowStart + HOUR_MS, score: total(own.map((r) => r.score)) };
        }),
    },
    {
      sink: users,
      latestBy: ['user'],
      expected: () => [...grouped(game.rows, (r) => r.user)].map(([user, own]) => ({ user, score: total(own.map((r) => r.score)) })),
    },
  ],
};
