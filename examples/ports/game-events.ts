/** The events of Apache Beam's mobile game: lines of text, some of them broken, from players who come and go. */

import { f64, timestamp, utf8 } from 'millrace';
import { made, START_MS } from './port.ts';

export const event = { user: utf8, team: utf8, score: f64, at: timestamp };

export interface GameEvent {
  readonly user: string;
  readonly team: string;
  readonly score: number;
  readonly at: number;
}

export const TEAMS = 6;
/** They play as no person could. */
export const ROBOTS = ['user-3', 'user-17'];

/** A player plays for some minutes of each hour, and a robot scores four times as much. */
export function eventAt(i: number, rng: { int(below: number): number }): GameEvent {
  const number = (Math.floor(i / 90) * 5 + rng.int(12)) % 40;
  const user = `user-${number}`;
  return { user, team: `team-${number % TEAMS}`, score: (1 + rng.int(20)) * (ROBOTS.includes(user) ? 8 : 1), at: START_MS + i * 2_500 + rng.int(20_000) };
}

/** As the game writes them: user, team, score, time. Each 50th line is damaged. */
export function lineAt(i: number, rng: { int(below: number): number }) {
  const { user, team, score, at } = eventAt(i, rng);
  return { line: i % 50 === 49 ? `${user},${team}` : `${user},${team},${score},${at}`, at };
}

/** The event of a line; none where the line is damaged. */
export function parsed(line: string): GameEvent[] {
  const [user = '', team = '', score, at] = line.split(',');
  return at === undefined ? [] : [{ user, team, score: Number(score), at: Number(at) }];
}

export const lines = (count: number) => made({ line: utf8, at: timestamp }, count, lineAt, { partitions: 2 });
export const events = (count: number) => made(event, count, eventAt, { partitions: 2 });
