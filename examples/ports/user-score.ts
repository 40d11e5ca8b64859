// Apache Beam's mobile gaming, UserScore: what each user has scored in all.

import { collect, pipeline, sum } from 'millrace';
import { event, lines, parsed } from './game-events.ts';
import { grouped, type Port, total } from './port.ts';

const game = lines(4_000);
const scores = collect();

export default pipeline('user-score')
  .from(game.source)
  .flatMap(event, (r) => parsed(r.line))
  .keyBy('user')
  .aggregate({ score: sum('score') })
  .to(scores);

// A plain loop.

export const port: Port = {
  inputs: [game],
  outcomes: [
    {
      sink: scores,
      latestBy: ['user'],
      expected: () =>
        [
          ...grouped(
            game.rows.flatMap((r) => parsed(r.line)),
            (r) => r.user,
          ),
        ].map(([user, rows]) => ({ user, score: total(rows.map((r) => r.score)) })),
    },
  ],
};
