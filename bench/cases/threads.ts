/**
 * Threads: the main job (clicks-job.ts) with two workers and with one.
 *
 * The coordinator is a third thread. On two cores it shares them with the workers, so two workers cannot
 * reach 2.
 */

import { type BenchCase, ROWS } from '../harness.ts';
import { clicksContest, clicksReference, writeClicks } from './clicks-job.ts';

const M = 1_000_000;

export const threadCases: readonly BenchCase[] = [
  {
    name: 'threads/2-over-1',
    rooms: ['threads'],
    unit: ROWS,
    sizes: { full: 6 * M, quick: 2 * M, tiny: 3_000 },
    setup: writeClicks,
    expected: clicksReference,
    ours: { start: (input) => clicksContest(input, 'two', { workers: 2 }) },
    peers: { workers1: { start: (input) => clicksContest(input, 'one', { workers: 1 }) } },
  },
];
