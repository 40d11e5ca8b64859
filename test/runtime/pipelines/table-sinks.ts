// Users who move and go: counts by region, into topics, as each kind of changelog.

import { bool, json, log, pipeline, utf8 } from 'millrace';

export default ({ dir }: { dir: string }) => {
  const users = pipeline('regions')
    .from(log.source({ dir, topic: 'in', value: json({ user: utf8, region: utf8, gone: bool }) }))
    .keyBy('user')
    .table({ delete: (r) => r.gone });
  const regions = users.groupBy('region').count();
  const to = (topic: string, changelog: 'retract' | 'append') => log.sink({ dir, topic, value: json(), partitions: 2, key: 'region', changelog });
  regions.to(to('retract', 'retract'));
  regions.to(to('append', 'append'));
  // The key is the table's.
  return regions.to(log.sink({ dir, topic: 'upsert', value: json(), partitions: 2, key: 'region' }));
};
