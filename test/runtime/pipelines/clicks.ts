// The main job on an embedded log, with windows small enough that a test sees many.

import { collect, count, f64, json, log, mean, pipeline, type Sink, type Source, sliding, sum, timestamp, tumbling, utf8 } from 'millrace';

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
  /** The partitions end so many ms one after the other. */
  readonly endsApartMs?: number;
}

export default ({ dir, topic = 'in', group, delay = 1_000, slide, out = false, whole, endsApartMs }: Params) => {
  const clicks = log.source({ dir, topic, ...(group === undefined ? {} : { group }), value: json(click) });
  const windows = pipeline('clicks')
    .from(endsApartMs === undefined ? clicks : endsApart(clicks, endsApartMs))
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

/** Once the source has read all of its three partitions, it says so one after the other. */
function endsApart<R>(source: Source<R>, ms: number): Source<R> {
  return {
    ...source,
    open: (context) => {
      const ended = new Set<number>();
      const end = (partition: number) => {
        if (ended.add(partition).size === 3) for (const each of ended) setTimeout(() => context.end(each), each * ms);
      };
      return source.open({ ...context, end });
    },
  };
}
