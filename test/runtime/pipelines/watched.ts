// Known answers for the live page: so many rows, some of which fail, come too late, or cannot be decoded; a view; a sink with a tail.

import { collect, count, f64, json, log, pipeline, sum, timestamp, tumbling, utf8 } from 'millrace';

export default ({ dir }: { readonly dir: string }) => {
  const clicks = pipeline('watched <b>clicks</b>')
    .from(log.source({ dir, topic: 'in', group: 'watched', value: json({ page: utf8, ms: f64, at: timestamp }) }))
    .withWatermark('at', 0)
    .filter((r) => {
      if (r.ms === 13) throw new Error('thirteen');
      return true;
    });
  clicks
    .keyBy('page')
    .aggregate({ clicks: count(), ms: sum('ms') })
    .as('pages');
  return clicks.keyBy('page').window(tumbling('1m')).aggregate({ clicks: count() }).to(collect());
};
