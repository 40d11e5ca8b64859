// HDFS: a NameNode and one DataNode in one Java process, with WebHDFS. The file system's superuser is who runs it. Writes
// and reads are redirected to the DataNode, whose port changes with each start.

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { getsOk } from './ports.js';

const LOGGING = `log4j.rootLogger=WARN,out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %p %c{2}: %m%n
# Four warnings about annotations, at each start.
log4j.logger.com.sun.jersey=ERROR
`;

export const hdfs = {
  title: 'HDFS',
  ports: ['http', 'rpc'],
  prepare({ dir }) {
    fs.writeFileSync(path.join(dir, 'log4j.properties'), LOGGING);
  },
  programs({ dir, home, ports, settings, java, heapMiB = 512 }) {
    const all = { 'dfs.webhdfs.enabled': true, ...settings };
    const data = path.join(dir, 'data');
    return [
      {
        name: 'hdfs',
        command: java.java,
        args: () => [
          `-Xmx${heapMiB}m`,
          '-XX:+UseSerialGC',
          '-XX:TieredStopAtLevel=1',
          `-Dlog4j.configuration=file:${path.join(dir, 'log4j.properties')}`,
          `-Dtest.build.data=${data}`,
          '-cp',
          path.join(home, '*'),
          'org.apache.hadoop.test.MiniDFSClusterManager',
          '-datanodes',
          '1',
          ...(fs.existsSync(data) ? [] : ['-format']),
          '-nnport',
          String(ports.rpc),
          '-httpport',
          String(ports.http),
          ...Object.entries(all).flatMap(([key, value]) => ['-D', `${key}=${value}`]),
        ],
      },
    ];
  },
  // The NameNode answers before the DataNode has told it of its blocks.
  isReady: async ({ ports }) => {
    const url = `http://127.0.0.1:${ports.http}`;
    const isServing = (text) => {
      const state = JSON.parse(text).beans[0];
      return state?.FSState === 'Operational' && state.NumLiveDataNodes === 1;
    };
    return (
      (await getsOk(`${url}/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState`, { test: isServing })) &&
      (await getsOk(`${url}/webhdfs/v1/?op=LISTSTATUS&user.name=${os.userInfo().username}`))
    );
  },
  url: ({ ports }) => `http://127.0.0.1:${ports.http}/webhdfs/v1`,
  connect: ({ ports }) => ({ url: `http://127.0.0.1:${ports.http}`, user: os.userInfo().username, rpc: `hdfs://127.0.0.1:${ports.rpc}` }),
};
