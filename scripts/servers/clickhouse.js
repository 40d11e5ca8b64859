// ClickHouse of the system. Debian's is the real server, of 2018: no DateTime64, no asynchronous inserts, and 64-bit numbers
// are texts in JSON. The user `default` has no password.

import fs from 'node:fs';
import path from 'node:path';
import { getsOk } from './ports.js';
import { findProgram, installedVersion } from './programs.js';

const MARK_CACHE_BYTES = 64 * 1024 * 1024;

export const clickhouse = {
  title: 'ClickHouse',
  ports: ['http', 'tcp'],
  missing: () => (findProgram('clickhouse-server') ? undefined : 'clickhouse-server is missing: install it (Debian: apt-get install clickhouse-server).'),
  // The server has no flag for it; what it says at its start goes to its log.
  installedVersion: () => installedVersion(findProgram('clickhouse-client')),
  prepare({ dir, ports, settings }) {
    const data = path.join(dir, 'data');
    fs.mkdirSync(path.join(data, 'tmp'), { recursive: true });
    const users = path.join(dir, 'users.xml');
    fs.writeFileSync(
      path.join(dir, 'config.xml'),
      xml({
        yandex: {
          logger: { level: 'warning', console: 1 },
          http_port: ports.http,
          tcp_port: ports.tcp,
          listen_host: '127.0.0.1',
          mark_cache_size: MARK_CACHE_BYTES,
          path: `${data}/`,
          tmp_path: `${data}/tmp/`,
          users_config: users,
          default_profile: 'default',
          default_database: 'default',
          ...settings,
        },
      }),
    );
    const user = { password: '', networks: { ip: '127.0.0.1' }, profile: 'default', quota: 'default' };
    fs.writeFileSync(users, xml({ yandex: { profiles: { default: {} }, users: { default: user }, quotas: { default: {} } } }));
  },
  programs: ({ dir }) => [{ name: 'clickhouse', command: findProgram('clickhouse-server'), args: [`--config-file=${path.join(dir, 'config.xml')}`] }],
  isReady: ({ ports }) => getsOk(`http://127.0.0.1:${ports.http}/ping`),
  url: ({ ports }) => `http://127.0.0.1:${ports.http}`,
  connect: ({ ports }) => ({ url: `http://127.0.0.1:${ports.http}`, username: 'default', password: '', database: 'default' }),
};

/** @param {Record<string, unknown>} tree */
function xml(tree) {
  return Object.entries(tree)
    .map(([tag, value]) => `<${tag}>${typeof value === 'object' ? xml(value) : String(value).replaceAll('&', '&amp;').replaceAll('<', '&lt;')}</${tag}>`)
    .join('\n');
}
