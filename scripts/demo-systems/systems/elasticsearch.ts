// The demo's results in Elasticsearch: a document for each page and minute.

import { elasticsearch } from '../../../io/elasticsearch/index.ts';
import type { ServerConnections } from '../../servers/index.js';
import type { Average } from '../averages.ts';
import type { System } from './system.ts';

type Connect = ServerConnections['elasticsearch'];
const INDEX = 'averaged-clicks';
const PAGE_SIZE = 5_000;

interface Hits {
  readonly hits: { readonly hits: readonly { readonly _source: Average; readonly sort: readonly unknown[] }[] };
}

async function call<T>(url: string, body?: object): Promise<T> {
  const answer = await fetch(url, { method: 'POST', ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }) });
  if (!answer.ok) throw new Error(`${url} answers ${answer.status}: ${await answer.text()}`);
  return (await answer.json()) as T;
}

export const system: System = {
  server: 'elasticsearch',
  sink: (connect) => elasticsearch.sink({ url: (connect as Connect).node, index: INDEX, id: ['page', 'windowStart'], createIndex: true }),
  async read(connect) {
    const { node } = connect as Connect;
    await call(`${node}/${INDEX}/_refresh`);
    const rows: Average[] = [];
    for (let after: readonly unknown[] | undefined; ; ) {
      const { hits } = await call<Hits>(`${node}/${INDEX}/_search`, {
        size: PAGE_SIZE,
        sort: ['windowStart', 'page'],
        ...(after && { search_after: after }),
      });
      rows.push(...hits.hits.map((hit) => hit._source));
      after = hits.hits.at(-1)?.sort;
      if (after === undefined) return rows;
    }
  },
};
