// Apicurio Registry, which speaks the interface of Confluent's schema registry. Its schemas lie in a database file, so that they
// survive a restart. Unlike Confluent's it compares with older versions of a subject only when it is told to.

import path from 'node:path';
import { getsOk } from './ports.js';

const REGISTRY = '/apis/ccompat/v7';

export const apicurio = {
  title: 'Apicurio Registry',
  ports: ['http'],
  programs({ dir, home, version, ports, settings, java, heapMiB = 384 }) {
    const all = {
      'quarkus.http.host': '127.0.0.1',
      'quarkus.http.port': ports.http,
      'apicurio.storage.kind': 'sql',
      'apicurio.storage.sql.kind': 'h2',
      // What is answered is in the file.
      'apicurio.datasource.url': `jdbc:h2:file:${path.join(dir, 'data')};WRITE_DELAY=0`,
      ...settings,
    };
    const set = Object.entries(all).map(([name, value]) => `-D${name}=${value}`);
    const jvm = [`-Xmx${heapMiB}m`, '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];
    return [{ name: 'apicurio', command: java.java, args: [...jvm, ...set, '-jar', path.join(home, `apicurio-registry-app-${version}-runner.jar`)] }];
  },
  isReady: ({ ports }) => getsOk(`http://127.0.0.1:${ports.http}${REGISTRY}/subjects`, { test: (text) => Array.isArray(JSON.parse(text)) }),
  url: ({ ports }) => `http://127.0.0.1:${ports.http}${REGISTRY}`,
  connect: ({ ports }) => ({ url: `http://127.0.0.1:${ports.http}${REGISTRY}` }),
};
