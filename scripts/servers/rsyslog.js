// rsyslog of the system with the output to Kafka. It takes lines on a TCP port. `settings: { config: '...' }` has the rest of its
// configuration, modules and actions; without it lines go to `messages.log` in its folder.

import fs from 'node:fs';
import path from 'node:path';
import { accepts } from './ports.js';
import { findProgram, installedVersion } from './programs.js';

const hasKafka = () =>
  fs.existsSync('/usr/lib') && fs.readdirSync('/usr/lib').some((folder) => fs.existsSync(path.join('/usr/lib', folder, 'rsyslog/omkafka.so')));

export const rsyslog = {
  title: 'rsyslog',
  ports: ['tcp'],
  missing: () =>
    findProgram('rsyslogd') && hasKafka() ? undefined : 'rsyslogd with omkafka is missing: install it (Debian: apt-get install rsyslog rsyslog-kafka).',
  installedVersion: () => installedVersion(findProgram('rsyslogd'), '-v'),
  prepare({ dir, ports, settings: { config } }) {
    fs.mkdirSync(path.join(dir, 'work'), { recursive: true });
    const head = `global(workDirectory="${path.join(dir, 'work')}")\nmodule(load="imtcp")\ninput(type="imtcp" address="127.0.0.1" port="${ports.tcp}")\n`;
    const messages = `action(type="omfile" file="${path.join(dir, 'messages.log')}" template="RSYSLOG_SyslogProtocol23Format")`;
    fs.writeFileSync(path.join(dir, 'rsyslog.conf'), `${head}${config ?? messages}\n`);
  },
  programs: ({ dir }) => [
    { name: 'rsyslog', command: findProgram('rsyslogd'), args: ['-n', '-f', path.join(dir, 'rsyslog.conf'), '-i', path.join(dir, 'rsyslog.pid')] },
  ],
  isReady: ({ ports }) => accepts(ports.tcp),
  url: ({ ports }) => `tcp://127.0.0.1:${ports.tcp}`,
  connect: ({ dir, ports }) => ({ host: '127.0.0.1', port: ports.tcp, messages: path.join(dir, 'messages.log') }),
};
