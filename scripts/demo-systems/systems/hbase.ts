// The demo's results in HBase: a row for each page and minute, the minute as the version of its cell.

import { hbase } from '../../../io/hbase/index.ts';
import type { ServerConnections } from '../../servers/index.js';
import type { Average } from '../averages.ts';
import type { System } from './system.ts';

type Connect = ServerConnections['hbase'];
const TABLE = 'averaged_clicks';

interface Scan {
  readonly Row: readonly { readonly key: string; readonly Cell: readonly { readonly $: string }[] }[];
}

export const system: System = {
  server: 'hbase',
  sink: (connect) =>
    hbase.sink({
      url: (connect as Connect).url,
      table: TABLE,
      key: ['page', 'windowStart'],
      family: 'a',
      columns: ['averageMs'],
      version: 'windowStart',
      createTable: true,
    }),
  async read(connect) {
    const answer = await fetch(`${(connect as Connect).url}/${TABLE}/*`, { headers: { accept: 'application/json' } });
    if (!answer.ok) throw new Error(`HBase answers ${answer.status}: ${await answer.text()}`);
    const text = (base64: string): string => Buffer.from(base64, 'base64').toString();
    return ((await answer.json()) as Scan).Row.map(({ key, Cell }): Average => {
      const [page, windowStart] = text(key).split('|');
      return { page: page as string, windowStart: Number(windowStart), averageMs: Number(text(Cell[0]?.$ as string)) };
    });
  },
};
