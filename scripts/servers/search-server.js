// Elasticsearch and OpenSearch: two products of one origin, which are configured and started alike. The archives are the
// real servers with few of their modules: no scripts, no ingest pipelines, no reindex, no _update_by_query. Both refuse
// to run as root, so under root they run as nobody.
// Their JVMs compile quickly and not well, and collect with one thread, which halves what a start costs: 9 s of CPU in place of 18.

import fs from 'node:fs';
import path from 'node:path';
import { getsOk } from './ports.js';

/**
 * @param {{ name: 'elasticsearch' | 'opensearch', title: string, prefix: 'ES' | 'OPENSEARCH', settings: Record<string, string | number | boolean> }} product
 */
export function searchServer({ name, title, prefix, settings: own }) {
  return {
    title,
    asNobody: true,
    ports: ['http', 'transport'],
    prepare({ dir, home, version, ports, settings }) {
      for (const folder of ['data', 'logs', 'tmp']) fs.mkdirSync(path.join(dir, folder), { recursive: true });
      const config = path.join(dir, 'config');
      fs.cpSync(path.join(home, `${name}-${version}`, 'config'), config, { recursive: true });
      const options = path.join(config, 'jvm.options');
      const lines = fs.readFileSync(options, 'utf8').split('\n');
      // Heap, collector and the log of collections are given with the start.
      fs.writeFileSync(options, lines.filter((line) => !/^-Xm[sx]|G1|Xlog:gc/.test(line)).join('\n'));
      const all = {
        'cluster.name': 'millrace',
        'network.host': '127.0.0.1',
        'http.port': ports.http,
        'transport.port': ports.transport,
        'discovery.type': 'single-node',
        'path.data': path.join(dir, 'data'),
        'path.logs': path.join(dir, 'logs'),
        'cluster.routing.allocation.disk.threshold_enabled': false,
        ...own,
        ...settings,
      };
      // JSON is YAML.
      const text = Object.entries(all).map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`);
      fs.writeFileSync(path.join(config, `${name}.yml`), text.join(''));
    },
    programs: ({ dir, home, version, java, heapMiB = 512 }) => [
      {
        name,
        command: path.join(home, `${name}-${version}`, 'bin', name),
        args: [],
        env: {
          [`${prefix}_JAVA_HOME`]: java.home,
          [`${prefix}_PATH_CONF`]: path.join(dir, 'config'),
          [`${prefix}_JAVA_OPTS`]: `-Xms${heapMiB}m -Xmx${heapMiB}m -XX:+UseSerialGC -XX:TieredStopAtLevel=1`,
          [`${prefix}_TMPDIR`]: path.join(dir, 'tmp'),
          HOME: dir,
        },
      },
    ],
    isReady: ({ ports }) => getsOk(`http://127.0.0.1:${ports.http}/_cluster/health?wait_for_status=yellow&timeout=1s`, { test: isSettled }),
    url: ({ ports }) => `http://127.0.0.1:${ports.http}`,
    connect: ({ ports }) => ({ node: `http://127.0.0.1:${ports.http}` }),
  };
}

/** @param {string} text of the cluster's health */
const isSettled = (text) => JSON.parse(text).timed_out === false;
