/**
 * What guarantees cost: the main job (clicks-job.ts) exactly-once, with a checkpoint every 100 ms, beside the
 * same job at-least-once, with checkpoints and without. A ratio of 0.9: exactly-once has nine tenths of the
 * speed.
 */

import { type BenchCase, ROWS } from '../harness.ts';
import { clicksContest, clicksReference, writeClicks } from './clicks-job.ts';

const M = 1_000_000;
const job = { workers: 2, trigger: '100ms', bounded: true } as const;

export const guaranteeCases: readonly BenchCase[] = [
  {
    name: 'guarantees/exactly-once',
    rooms: ['guarantees'],
    unit: ROWS,
    sizes: { full: 12 * M, quick: 4 * M, tiny: 3_000 },
    setup: writeClicks,
    expected: clicksReference,
    ours: { start: (input) => clicksContest(input, 'exactly-once', { ...job, guarantee: 'exactly-once', checkpointInterval: '100ms' }) },
    peers: {
      atLeastOnce: { start: (input) => clicksContest(input, 'at-least-once', job) },
      checkpoints: { start: (input) => clicksContest(input, 'checkpoints', { ...job, checkpointInterval: '100ms' }) },
    },
  },
];
