// Cassandra: one node, without logins. Clients name their data centre: `datacenter1`.

import fs from 'node:fs';
import path from 'node:path';
import { accepts } from './ports.js';

const LOGGING = `<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%date %-5level %logger{20}: %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="out"/></root>
</configuration>
`;

/** What Cassandra's own start script gives, for Java 17. */
const EXPORTS = [
  'java.base/jdk.internal.misc',
  'java.base/jdk.internal.ref',
  'java.base/sun.nio.ch',
  'java.management.rmi/com.sun.jmx.remote.internal.rmi',
  'java.rmi/sun.rmi.registry',
  'java.rmi/sun.rmi.server',
  'java.rmi/sun.rmi.transport.tcp',
  'java.sql/java.sql',
];
const OPENS = [
  'jdk.management/com.sun.management.internal',
  ...[
    'java.lang',
    'java.lang.module',
    'java.lang.reflect',
    'java.io',
    'java.nio',
    'java.math',
    'java.net',
    'java.util',
    'java.util.concurrent',
    'java.util.concurrent.atomic',
    'jdk.internal.loader',
    'jdk.internal.ref',
    'jdk.internal.reflect',
    'jdk.internal.math',
    'jdk.internal.module',
    'jdk.internal.util.jar',
    'sun.nio.ch',
  ].map((name) => `java.base/${name}`),
];

export const cassandra = {
  title: 'Cassandra',
  ports: ['cql', 'storage', 'jmx'],
  prepare({ dir, ports, settings }) {
    const config = path.join(dir, 'config');
    fs.mkdirSync(config, { recursive: true });
    const all = {
      cluster_name: 'millrace',
      num_tokens: 1,
      partitioner: 'org.apache.cassandra.dht.Murmur3Partitioner',
      seed_provider: [{ class_name: 'org.apache.cassandra.locator.SimpleSeedProvider', parameters: [{ seeds: `127.0.0.1:${ports.storage}` }] }],
      listen_address: '127.0.0.1',
      rpc_address: '127.0.0.1',
      storage_port: ports.storage,
      native_transport_port: ports.cql,
      endpoint_snitch: 'SimpleSnitch',
      // Answers when the log is on the disk. Its default, periodic, loses the last 100 ms at kill -9: what is behind the last mark in the log
      // is not read again. `settings: { commitlog_sync: 'periodic', commitlog_sync_period: '10000ms' }` brings that back.
      commitlog_sync: 'batch',
      commitlog_directory: path.join(dir, 'commitlog'),
      data_file_directories: [path.join(dir, 'data')],
      saved_caches_directory: path.join(dir, 'saved'),
      hints_directory: path.join(dir, 'hints'),
      cdc_raw_directory: path.join(dir, 'cdc'),
      auto_snapshot: false,
      ...settings,
    };
    // JSON is YAML.
    fs.writeFileSync(path.join(config, 'cassandra.yaml'), `${JSON.stringify(all, null, 1)}\n`);
    fs.writeFileSync(path.join(config, 'logback.xml'), LOGGING);
  },
  programs({ dir, home, ports, java, heapMiB = 768 }) {
    const agent = fs.readdirSync(home).find((file) => /^jamm-.*\.jar$/.test(file));
    const config = path.join(dir, 'config');
    const args = [
      `-Xms${Math.min(256, heapMiB)}m`,
      `-Xmx${heapMiB}m`,
      '-XX:+UseSerialGC',
      '-XX:TieredStopAtLevel=1',
      '-Djdk.attach.allowAttachSelf=true',
      ...EXPORTS.flatMap((each) => ['--add-exports', `${each}=ALL-UNNAMED`]),
      ...OPENS.flatMap((each) => ['--add-opens', `${each}=ALL-UNNAMED`]),
      `-javaagent:${path.join(home, agent)}`,
      `-Dcassandra.config=file:${path.join(config, 'cassandra.yaml')}`,
      `-Dcassandra.storagedir=${dir}`,
      '-Dcassandra-foreground=yes',
      '-Dcassandra.superuser_setup_delay_ms=0',
      '-Dcassandra.skip_wait_for_gossip_to_settle=0',
      '-Dcassandra.ring_delay_ms=1',
      `-Dcassandra.jmx.local.port=${ports.jmx}`,
      '-cp',
      `${config}${path.delimiter}${path.join(home, '*')}`,
      'org.apache.cassandra.service.CassandraDaemon',
    ];
    return [{ name: 'cassandra', command: java.java, args }];
  },
  // This port is the last that it opens.
  isReady: ({ ports }) => accepts(ports.cql),
  url: ({ ports }) => `127.0.0.1:${ports.cql}`,
  connect: ({ ports }) => ({ contactPoints: [`127.0.0.1:${ports.cql}`], localDataCenter: 'datacenter1' }),
};
