/** Points of a job's life at which the checker can kill or stop it. */

/** Those of the main thread that come with each checkpoint, in this order. */
export const CHECKPOINT_POINTS = [
  'before-prepare',
  'prepared',
  'segments-synced',
  'manifest-written',
  'commit-sent',
  'committed',
  'sinks-committed',
  'pruned',
] as const;
/** Those of a worker, which come with each epoch. */
export const WORKER_POINTS = ['frames-unwritten', 'frames-torn', 'frames-written'] as const;
/** Those of a start that has something to go on from. */
export const START_POINTS = ['recovered', 'sinks-recovered'] as const;
export type KillPoint = (typeof CHECKPOINT_POINTS)[number] | (typeof WORKER_POINTS)[number] | (typeof START_POINTS)[number];
