// Confluent's KafkaMusic: the five songs that are played most in each genre, of plays of at least 30 seconds. Counts
// by song are a table, as are the charts that are made of them. They can be asked for while they change:
// job.view('charts').get({ genre: 'rock', rank: 1 }).

import { collect, f64, pipeline, timestamp, utf8 } from 'millrace';
import { grouped, made, type Port, START_MS } from './port.ts';

const plays = made({ songId: f64, seconds: f64, at: timestamp }, 4_000, playAt, { partitions: 2 });
const songs = made({ id: f64, title: utf8, genre: utf8 }, 60, songAt, { isTable: true });
const charts = collect();

const p = pipeline('kafka-music');
const played = p
  .from(plays.source)
  .filter((r) => r.seconds >= 30)
  .keyBy('songId')
  .count();
export default played
  .groupBy('songId')
  .join(p.from(songs.source).keyBy('id').table().groupBy('id'))
  .groupBy('genre')
  .top(5, { by: ['count desc', 'title'] })
  .as('charts')
  .to(charts);

// The data, and a plain loop.

function playAt(i: number, rng: { int(below: number): number; normal(): number }) {
  return { songId: Math.min(59, Math.floor(Math.abs(rng.normal()) * 25)), seconds: rng.int(240), at: START_MS + i * 100 };
}

function songAt(i: number) {
  return { id: i, title: `song ${i}`, genre: ['rock', 'jazz', 'folk'][i % 3] as string };
}

export const port: Port = {
  inputs: [plays, songs],
  outcomes: [
    {
      sink: charts,
      latestBy: ['genre', 'rank'],
      expected() {
        const bySong = new Map(songs.rows.map((song) => [song.id, song]));
        const heard = grouped(
          plays.rows.filter((r) => r.seconds >= 30),
          (r) => String(r.songId),
        );
        const counts = [...heard].map(([songId, rows]) => {
          const { title, genre } = bySong.get(Number(songId)) as (typeof songs.rows)[0];
          return { songId: Number(songId), title, genre, count: rows.length };
        });
        return [...grouped(counts, (r) => r.genre).values()].flatMap((rows) =>
          rows
            .sort((a, b) => b.count - a.count || (a.title < b.title ? -1 : 1))
            .slice(0, 5)
            .map((row, i) => ({ ...row, rank: i + 1 })),
        );
      },
    },
  ],
};
