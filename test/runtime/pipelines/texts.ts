// The values of topics of an embedded log, as texts.

import { collect, log, pipeline, type Sink, text, utf8 } from 'millrace';

export const results = collect();

export default ({ dir, topics }: { readonly dir: string; readonly topics: readonly string[] }) => {
  const from = pipeline('texts');
  const streams = topics.map((topic) =>
    from.from(log.source({ dir, topic, value: text() })).map({ topic: utf8, value: utf8 }, (r) => ({ topic, value: r.value })),
  );
  return streams.reduce((a, b) => a.union(b)).to(results as Sink);
};
