/**
 * The main job of examples/clicks.ts, from one folder of the embedded log to another, always from the
 * beginning.
 */

import { click, clicksPerPage } from '../../examples/clicks.ts';
import { json, log } from '../../runtime/index.ts';

export default ({ from, to }: { from: string; to: string }) =>
  clicksPerPage(log.source({ dir: from, topic: 'clicks', value: json(click) }), log.sink({ dir: to, topic: 'clicks-per-page', key: 'page', value: json() }));
