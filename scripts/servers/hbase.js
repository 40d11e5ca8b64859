// HBase: ZooKeeper, master and region server in one Java process, the REST server in a second. They may start together:
// REST waits for the master. The Thrift server comes only with `settings: { thrift: true }`, since it takes 220 MB.

import fs from 'node:fs';
import path from 'node:path';
import { accepts, getsOk } from './ports.js';

const LOGGING = `status = warn
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %c{2}: %m%n
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
`;
const OPENS = ['java.lang', 'java.lang.reflect', 'java.io', 'java.nio', 'sun.nio.ch', 'java.util', 'jdk.internal.misc'];
const MODULES = [
  ...OPENS.flatMap((name) => ['--add-opens', `java.base/${name}=ALL-UNNAMED`]),
  '--add-exports',
  'java.base/jdk.internal.misc=ALL-UNNAMED',
  '--add-exports',
  'java.security.jgss/sun.security.krb5=ALL-UNNAMED',
];

export const hbase = {
  title: 'HBase',
  ports: ['rest', 'zookeeper', 'thrift'],
  prepare({ dir, ports, settings: { thrift: _, ...settings } }) {
    const config = path.join(dir, 'config');
    fs.mkdirSync(config, { recursive: true });
    const all = {
      'hbase.cluster.distributed': false,
      'hbase.rootdir': `file://${path.join(dir, 'root')}`,
      'hbase.tmp.dir': path.join(dir, 'tmp'),
      'hbase.zookeeper.property.dataDir': path.join(dir, 'zookeeper'),
      'hbase.zookeeper.quorum': '127.0.0.1',
      'hbase.zookeeper.property.clientPort': ports.zookeeper,
      'hbase.zookeeper.property.clientPortAddress': '127.0.0.1',
      'hbase.unsafe.stream.capability.enforce': false,
      'hbase.wal.provider': 'filesystem',
      'hbase.master.ipc.address': '127.0.0.1',
      'hbase.regionserver.ipc.address': '127.0.0.1',
      'hbase.master.hostname': 'localhost',
      'hbase.regionserver.hostname': 'localhost',
      'hbase.master.info.port': -1,
      'hbase.regionserver.info.port': -1,
      'hbase.localcluster.assign.random.ports': true,
      // Else a restart over kept data waits 4.5 s for more region servers.
      'hbase.master.wait.on.regionservers.maxtostart': 1,
      'hbase.rest.host': '127.0.0.1',
      'hbase.rest.port': ports.rest,
      'hbase.rest.info.port': -1,
      ...settings,
    };
    const properties = Object.entries(all).map(([name, value]) => `<property><name>${name}</name><value>${escaped(value)}</value></property>\n`);
    fs.writeFileSync(path.join(config, 'hbase-site.xml'), `<configuration>\n${properties.join('')}</configuration>\n`);
    fs.writeFileSync(path.join(config, 'log4j2.properties'), LOGGING);
  },
  programs({ dir, home, ports, settings, java, heapMiB = 512 }) {
    const program = (name, heap, args) => ({
      name,
      command: java.java,
      args: [
        `-Xmx${heap}m`,
        '-XX:+UseSerialGC',
        '-XX:TieredStopAtLevel=1',
        ...MODULES,
        '-cp',
        `${path.join(dir, 'config')}${path.delimiter}${path.join(home, '*')}`,
        ...args,
      ],
    });
    const thrift = ['org.apache.hadoop.hbase.thrift.ThriftServer', 'start', '-b', '127.0.0.1', '-p', String(ports.thrift), '--infoport', '-1'];
    return [
      program('hbase', heapMiB, ['org.apache.hadoop.hbase.master.HMaster', 'start']),
      program('rest', 256, ['org.apache.hadoop.hbase.rest.RESTServer', 'start']),
      ...(settings.thrift === true ? [program('thrift', 256, thrift)] : []),
    ];
  },
  isReady: async ({ ports, settings }) =>
    (await getsOk(`http://127.0.0.1:${ports.rest}/`, { headers: { accept: 'application/json' }, test: (text) => Array.isArray(JSON.parse(text).table) })) &&
    (settings.thrift !== true || (await accepts(ports.thrift))),
  url: ({ ports }) => `http://127.0.0.1:${ports.rest}`,
  connect: ({ ports, settings }) => ({
    url: `http://127.0.0.1:${ports.rest}`,
    zookeeper: `127.0.0.1:${ports.zookeeper}`,
    ...(settings.thrift === true ? { thrift: { host: '127.0.0.1', port: ports.thrift } } : {}),
  }),
};

/** @param {unknown} value */
const escaped = (value) => String(value).replaceAll('&', '&amp;').replaceAll('<', '&lt;');
