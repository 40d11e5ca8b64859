/** The taxi trips of the DEBS Grand Challenge 2015, as far as its queries need them: areas are cells of a grid. */

import { f64, timestamp, utf8 } from 'millrace';
import { START_MS } from './port.ts';

export const trip = { taxi: f64, from: utf8, to: utf8, paid: f64, at: timestamp };

export interface Trip {
  readonly taxi: number;
  readonly from: string;
  readonly to: string;
  readonly paid: number;
  /** When the passengers got out. No two trips end in the same millisecond. */
  readonly at: number;
}

/** Some areas are much busier than others, at different times. */
export function tripAt(i: number, rng: { (): number; int(below: number): number; normal(): number }): Trip {
  const area = (): string => `${Math.floor(Math.abs(rng.normal()) * 2 + i / 2_000) % 9}.${rng.int(2)}`;
  return { taxi: rng.int(150), from: area(), to: area(), paid: rng() * 60, at: START_MS + i * 1_500 + rng.int(1_400) };
}
