// Apache Flume with an agent called `a`. `settings` are the lines of its configuration; without them it takes lines on a TCP port,
// keeps them in a channel of files, and writes them to files under `out` of its folder. Its log tells when its parts have started.

import fs from 'node:fs';
import path from 'node:path';
import { accepts } from './ports.js';

const LOGGING = `status = warn
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %c{1}: %m%n
rootLogger.level = INFO
rootLogger.appenderRef.out.ref = out
`;

const ownAgent = (dir, port) => ({
  'a.sources': 'lines',
  'a.channels': 'kept',
  'a.sinks': 'files',
  'a.sources.lines.type': 'netcat',
  'a.sources.lines.bind': '127.0.0.1',
  'a.sources.lines.port': port,
  'a.sources.lines.channels': 'kept',
  'a.channels.kept.type': 'file',
  'a.channels.kept.checkpointDir': path.join(dir, 'checkpoint'),
  'a.channels.kept.dataDirs': path.join(dir, 'data'),
  'a.sinks.files.type': 'file_roll',
  'a.sinks.files.channel': 'kept',
  'a.sinks.files.sink.directory': path.join(dir, 'out'),
  'a.sinks.files.sink.rollInterval': 0,
});

export const flume = {
  title: 'Flume',
  ports: ['lines'],
  prepare({ dir, ports, settings }) {
    fs.mkdirSync(path.join(dir, 'out'), { recursive: true });
    const agent = Object.keys(settings).length > 0 ? settings : ownAgent(dir, ports.lines);
    const lines = Object.entries(agent).map(([name, value]) => `${name} = ${value}\n`);
    fs.writeFileSync(path.join(dir, 'agent.conf'), lines.join(''));
    fs.writeFileSync(path.join(dir, 'log4j2.properties'), LOGGING);
  },
  programs: ({ dir, home, java, heapMiB = 256 }) => [
    {
      name: 'flume',
      command: java.java,
      args: [
        `-Xmx${heapMiB}m`,
        '-XX:+UseSerialGC',
        '-XX:TieredStopAtLevel=1',
        `-Dlog4j2.configurationFile=${path.join(dir, 'log4j2.properties')}`,
        '-cp',
        path.join(home, '*'),
        'org.apache.flume.node.Application',
        '-n',
        'a',
        '-f',
        path.join(dir, 'agent.conf'),
      ],
    },
  ],
  isReady: async ({ ports, settings, log }) => {
    if (Object.keys(settings).length === 0) return accepts(ports.lines);
    const text = log();
    const names = (list) =>
      String(settings[`a.${list}`] ?? '')
        .split(/\s+/)
        .filter((name) => name !== '');
    // Not each kind of source says when it has started; sources come after the sinks.
    return (
      names('sinks').every((name) => text.includes(`Component type: SINK, name: ${name} started`)) &&
      names('sources').every((name) => text.includes(`Starting Source ${name}`))
    );
  },
  url: ({ ports }) => `tcp://127.0.0.1:${ports.lines}`,
  connect: ({ dir, ports }) => ({ host: '127.0.0.1', port: ports.lines, out: path.join(dir, 'out') }),
};
