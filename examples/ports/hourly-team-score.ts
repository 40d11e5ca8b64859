// Apache Beam's mobile gaming, HourlyTeamScore: what each team has scored in each hour, between two times.

import { collect, pipeline, sum, tumbling } from 'millrace';
import { event, lines, parsed } from './game-events.ts';
import { grouped, HOUR_MS, type Port, START_MS, total } from './port.ts';

const FROM_MS = START_MS + 600_000;
const UNTIL_MS = START_MS + 9_000_000;
const game = lines(4_000);
const scores = collect();

export default pipeline('hourly-team-score')
  .from(game.source)
  .flatMap(event, (r) => parsed(r.line))
  .withWatermark('at', '30s')
  .filter((r) => r.at >= FROM_MS && r.at < UNTIL_MS)
  .keyBy('team')
  .window(tumbling('1h'))
  .aggregate({ score: sum('score') })
  .to(scores);

// A plain loop.

export const port: Port = {
  inputs: [game],
  outcomes: [
    {
      sink: scores,
      expected() {
        const rows = game.rows.flatMap((r) => parsed(r.line)).filter((r) => r.at >= FROM_MS && r.at < UNTIL_MS);
        return [...grouped(rows, (r) => `${r.team} ${Math.floor(r.at / HOUR_MS)}`)].map(([key, own]) => {
          const [team, hour] = key.split(' ');
          const windowStart = Number(hour) * HOUR_MS;
          return { team, windowStart, windowEnd: windowStart + HOUR_MS, score: total(own.map((r) => r.score)) };
        });
      },
    },
  ],
};
