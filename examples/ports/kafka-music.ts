// Confluent's KafkaMusic: the five songs that are played most in each genre, of plays of at least 30 seconds. The
// charts can be asked for while they change: job.view('charts').get('rock').

import { collect, f64, pipeline, timestamp, topK, utf8 } from 'millrace';
import { grouped, made, type Port, START_MS } from './port.ts';

const plays = made({ songId: f64, seconds: f64, at: timestamp }, 4_000, playAt, { partitions: 2 });
const songs = made({ id: f64, title: utf8, genre: utf8 }, 60, songAt, { isTable: true });
const charts = collect();

const p = pipeline('kafka-music');
export default p
  .from(plays.source)
  .filter((r) => r.seconds >= 30)
  .keyBy('songId')
  .join(p.from(songs.source).keyBy('id'))
  .keyBy('genre')
  .aggregate({ top: topK('title', 5) })
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
      latestBy: ['genre'],
      expected() {
        const bySong = new Map(songs.rows.map((song) => [song.id, song]));
        const heard = plays.rows.filter((r) => r.seconds >= 30).map((r) => bySong.get(r.songId) as (typeof songs.rows)[0]);
        return [...grouped(heard, (r) => r.genre)].map(([genre, rows]) => {
          const counts = [...grouped(rows, (r) => r.title)].map(([value, own]) => ({ value, count: own.length, error: 0 }));
          return { genre, top: JSON.stringify(counts.sort((a, b) => b.count - a.count || (a.value < b.value ? -1 : 1)).slice(0, 5)) };
        });
      },
    },
  ],
};
