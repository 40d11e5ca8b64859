// The demo's results in HDFS: a file of text for each minute, a line for each page, exactly-once.

import { hdfs } from '../../../io/hdfs/index.ts';
import { csv } from '../../../runtime/index.ts';
import type { ServerConnections } from '../../servers/index.js';
import type { Average } from '../averages.ts';
import type { System } from './system.ts';

type Connect = ServerConnections['hdfs'];
const FOLDER = '/averaged_clicks';
const NAME = /^(\d{4}-\d\d-\d\d)_(\d\d)-(\d\d)\.txt$/;

async function get({ url, user }: Connect, path: string, op: string): Promise<Response> {
  const answer = await fetch(`${url}/webhdfs/v1${path}?op=${op}&user.name=${user}`);
  if (!answer.ok) throw new Error(`${op} of ${path} answers ${answer.status}: ${await answer.text()}`);
  return answer;
}

export const system: System = {
  server: 'hdfs',
  guarantee: 'exactly-once',
  sink: (connect) => {
    const { url, user } = connect as Connect;
    return hdfs.sink({ url, user, path: FOLDER, name: '{windowStart:yyyy-MM-dd_HH-mm}', ext: 'txt', value: csv(), columns: ['page', 'averageMs'] });
  },
  async read(connect) {
    const listing = (await (await get(connect as Connect, FOLDER, 'LISTSTATUS')).json()) as { FileStatuses: { FileStatus: { pathSuffix: string }[] } };
    const rows: Average[] = [];
    for (const { pathSuffix: name } of listing.FileStatuses.FileStatus) {
      const [, day, hour, minute] = NAME.exec(name) ?? [];
      // A window that was written twice, or half, must not go unseen.
      if (day === undefined) throw new Error(`${FOLDER}/${name} should not be there.`);
      const text = await (await get(connect as Connect, `${FOLDER}/${name}`, 'OPEN')).text();
      for (const line of text.split('\n').slice(0, -1)) {
        const comma = line.lastIndexOf(',');
        rows.push({ page: line.slice(0, comma), windowStart: Date.parse(`${day}T${hour}:${minute}:00Z`), averageMs: Number(line.slice(comma + 1)) });
      }
    }
    return rows;
  },
};
