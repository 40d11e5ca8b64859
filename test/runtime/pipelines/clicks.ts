// The main job on an embedded log, with windows small enough that a test sees many.

import { collect, count, f64, json, log, mean, pipeline, type Sink, sliding, sum, timestamp, tumbling, utf8 } from 'millrace';

export const click = { page: utf8, ms: f64, at: timestamp };
export const results = collect();

export interface Params {
  readonly dir: string;
  readonly topic?: string;
  readonly group?: string;
  readonly delay?: number;
  readonly slide?: number;
  /** Write to the log's topic `out` instead of to `results`. */
  readonly out?: boolean;
  /** Windows of so many ms of the windows' results. */
  readonly whole?: number;
}

export default ({ dir, topic = 'in', group, delay = 1_000, slide, out = false, whole }: Params) => {
  const windows = pipeline('clicks')
    .from(log.source({ dir, topic, ...(group === undefined ? {} : { group }), value: json(click) }))
    .withWatermark('at', delay)
    .keyBy('page')
    .window(slide === undefined ? tumbling('10s') : sliding('10s', slide))
    .aggregate({ clicks: count(), meanMs: mean('ms') });
  const timed =
    whole === undefined
      ? windows
      : windows
          .keyBy('page')
          .window(tumbling(whole))
          .aggregate({ clicks: sum('clicks') });
  return timed.to((out ? log.sink({ dir, topic: 'out', value: json() }) : results) as Sink);
};
