/** The routes of a job that are for machines: `/metrics`, `/live`, `/ready`. */

import type { JobWatch } from './job-watch.ts';
import { jobMetrics, processMetrics } from './metrics.ts';
import { CONTENT_TYPE, prometheusText } from './prometheus-text.ts';
import { liveness, type ReadinessBounds, readiness, type Verdict } from './readiness.ts';
import { type Route, Routes, reply } from './watch-server.ts';

export function jobRoutes(watch: JobWatch, bounds: ReadinessBounds): Routes {
  const judged =
    (judge: () => Verdict): Route =>
    (_, response) => {
      const verdict = judge();
      reply(response, verdict.ok ? 200 : 503, 'application/json; charset=utf-8', `${JSON.stringify(verdict)}\n`);
    };
  return new Routes()
    .add('/metrics', (_, response) => reply(response, 200, CONTENT_TYPE, prometheusText([...jobMetrics(watch), ...processMetrics()])))
    .add(
      '/live',
      judged(() => liveness(watch)),
    )
    .add(
      '/ready',
      judged(() => readiness(watch, bounds)),
    );
}
