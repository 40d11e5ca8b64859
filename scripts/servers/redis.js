// Redis of the system, with the append-only file: what it has answered survives kill -9.

import path from 'node:path';
import { replies } from './ports.js';
import { findProgram, installedVersion } from './programs.js';

export const redis = {
  title: 'Redis',
  ports: ['redis'],
  missing: () => (findProgram('redis-server') ? undefined : 'redis-server is missing: install it (Debian: apt-get install redis-server).'),
  installedVersion: () => installedVersion(findProgram('redis-server')),
  programs({ dir, ports, settings }) {
    const all = { bind: '127.0.0.1', port: ports.redis, dir: path.resolve(dir), save: '', appendonly: 'yes', ...settings };
    const args = Object.entries(all).flatMap(([name, value]) => [`--${name}`, String(value)]);
    return [{ name: 'redis', command: findProgram('redis-server'), args }];
  },
  // While it reads its file it answers LOADING.
  isReady: ({ ports }) => replies(ports.redis, 'PING\r\n', (reply) => reply.toString('latin1').startsWith('+PONG')),
  url: ({ ports }) => `redis://127.0.0.1:${ports.redis}`,
  connect: ({ ports }) => ({ host: '127.0.0.1', port: ports.redis }),
};
