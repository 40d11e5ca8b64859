// PostgreSQL of the system, made for logical replication, too: one superuser, `postgres`, whom it believes without a password.
// It refuses to run as root, so under root it runs as nobody. Files are not forced to the disk: data survives the end of the
// processes, not of the machine.

import fs from 'node:fs';
import path from 'node:path';
import { replies } from './ports.js';
import { findProgram, installedVersion } from './programs.js';
import { isRoot, NOBODY, run } from './provision.js';

const DEBIAN = '/usr/lib/postgresql';
/** Debian keeps each version's programs in a folder of its own: the newest first. */
const folders = () =>
  fs.existsSync(DEBIAN)
    ? fs
        .readdirSync(DEBIAN)
        .sort((a, b) => Number(b) - Number(a))
        .map((name) => path.join(DEBIAN, name, 'bin'))
    : [];
const program = (name) => findProgram(name, folders());

export const postgres = {
  title: 'PostgreSQL',
  asNobody: true,
  ports: ['sql'],
  missing: () => (program('initdb') && program('postgres') ? undefined : 'initdb and postgres are missing: install them (Debian: apt-get install postgresql).'),
  installedVersion: () => installedVersion(program('postgres')),
  async prepare({ dir }) {
    const data = path.join(dir, 'data');
    if (fs.existsSync(data)) return;
    const user = isRoot() ? { uid: NOBODY, gid: NOBODY } : {};
    const args = ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'];
    await run(program('initdb'), args, `make a database in ${data}`, { cwd: dir, ...user });
  },
  programs({ dir, ports, settings }) {
    const all = {
      listen_addresses: '127.0.0.1',
      // The path of a socket file would have to be shorter than 108 bytes.
      unix_socket_directories: '',
      wal_level: 'logical',
      max_replication_slots: 10,
      max_wal_senders: 10,
      fsync: 'off',
      ...settings,
    };
    const set = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    return [{ name: 'postgres', command: program('postgres'), args: ['-D', path.join(dir, 'data'), '-p', String(ports.sql), ...set] }];
  },
  // "Fast": does not wait for clients to leave.
  stopSignal: 'SIGINT',
  // It listens before it has recovered, and answers with an error until then.
  isReady: ({ ports }) => replies(ports.sql, hello(), (reply) => reply[0] === AUTHENTICATION),
  url: ({ ports }) => `postgresql://postgres@127.0.0.1:${ports.sql}/postgres`,
  connect: ({ ports }) => ({ host: '127.0.0.1', port: ports.sql, user: 'postgres', database: 'postgres' }),
};

/** First byte of the answer to a start-up message that is taken. */
const AUTHENTICATION = 'R'.charCodeAt(0);

/** A start-up message of protocol 3.0: its length, the version, names and values. */
function hello() {
  const text = Buffer.from('user\0postgres\0database\0postgres\0\0');
  const head = Buffer.alloc(8);
  head.writeInt32BE(head.length + text.length, 0);
  head.writeInt32BE(3 << 16, 4);
  return Buffer.concat([head, text]);
}
