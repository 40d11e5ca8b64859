/**
 * A real Apache Kafka broker for tests and experiments: `npm run kafka [-- --port 9092 --stay]`.
 *
 * The jars come from Maven (scripts/kafka/pom.xml lists them) into `.cache/kafka/`, once; later starts make
 * no network call. The broker is one KRaft node on 127.0.0.1, with a data folder of its own that is removed
 * at the end. It prints `KAFKA_BROKERS=127.0.0.1:PORT` when it answers. It runs until SIGINT, SIGTERM, the
 * end of standard input, or the end of the process that started it: its parent, or under `npm run` the parent
 * of npm. With `--stay` it outlives these.
 *
 * It uses plain Node and no packages, so that it runs before anything is built. `startKafka` is the same as a
 * function. With it a broker can also be killed and restarted over the same data, and have listeners with TLS
 * and logins.
 */

import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePorts } from './servers/ports.js';
import { stopAtEndOfInput, stopAtSignals, watchStarters } from './servers/starters.js';

const KAFKA_VERSION = process.env.KAFKA_VERSION ?? '4.3.1';
const JAVA_MAJOR_MIN = 17;
const READY_TIMEOUT_MS = 180_000;
const STOP_TIMEOUT_MS = 10_000;

const scriptsDir = path.dirname(fileURLToPath(import.meta.url));
const cacheDir = path.join(scriptsDir, '..', '.cache', 'kafka');

/**
 * A further listener: its protocol (SSL, SASL_SSL, SASL_PLAINTEXT), and its own settings without the prefix
 * `listener.name.<name>.`.
 *
 * @typedef {{ protocol: string, properties?: Record<string, string> }} Listener
 */

/**
 * The place of a node in a cluster of several: its number, from 1 on, the controllers' ports in this order,
 * and the id of the cluster.
 *
 * @typedef {{ id: number, controllerPorts: number[], cluster: string }} Place
 */

/**
 * Starts a broker and resolves when it answers.
 *
 * @param {{ port?: number, properties?: Record<string, string | number>, version?: string, listeners?: Record<string, Listener>, scramUsers?: string[], heapMiB?: number, place?: Place }} [options]
 *   port: of the client listener; default a free one. properties: more lines for server.properties, or other
 *   values for the default ones. listeners: more of them, by name, on free ports. scramUsers: in the form of
 *   StorageTool, `SCRAM-SHA-512=[name=alice,password=secret]`. place: this is one node of several.
 * @returns {Promise<{ brokers: string, pid: number, logFile: string, exited: Promise<number | null>, listeners: Record<string, string>,
 *   stop(): Promise<void>, kill(): Promise<void>, restart(): Promise<void> }>}
 *   listeners: the addresses of the further ones. kill: kill -9; the data stays. restart: after `kill`, at the
 *   same address.
 * @throws Error that says what to install when Java or Maven is missing
 */
export async function startKafka({ port, properties = {}, version = KAFKA_VERSION, listeners = {}, scramUsers = [], heapMiB = 512, place } = {}) {
  const java = findJava();
  const classPath = provisionJars(version);
  const names = Object.keys(listeners);
  const [clientPort, freeControllerPort, ...morePorts] = await freePorts(2 + names.length);
  const { id, controllerPorts, cluster } = place ?? { id: 1, controllerPorts: [freeControllerPort], cluster: clusterId() };
  const dir = fs.mkdtempSync(path.join(cacheDir, 'run-'));
  const configFile = path.join(dir, 'server.properties');
  const logFile = path.join(dir, 'broker.log');
  const brokers = `127.0.0.1:${port ?? clientPort}`;
  const more = names.map((name, i) => ({ name, port: morePorts[i], ...listeners[name] }));
  fs.writeFileSync(configFile, serverProperties(port ?? clientPort, { id, controllerPorts }, path.join(dir, 'data'), more, properties));

  const logging = `-Dlog4j2.configurationFile=${path.join(scriptsDir, 'kafka', 'log4j2.properties')}`;
  const format = spawnSync(
    java,
    [
      '-XX:TieredStopAtLevel=1',
      '-XX:+UseSerialGC',
      logging,
      '-cp',
      classPath,
      'kafka.tools.StorageTool',
      'format',
      '--cluster-id',
      cluster,
      '--config',
      configFile,
      ...scramUsers.flatMap((user) => ['--add-scram', user]),
    ],
    { encoding: 'utf8' },
  );
  if (format.status !== 0) {
    fs.rmSync(dir, { recursive: true, force: true });
    throw new Error(`Kafka's StorageTool could not format ${dir}:\n${format.stdout}${format.stderr}`);
  }

  const startProcess = () => {
    const log = fs.openSync(logFile, 'a');
    const args = ['-Xms128m', `-Xmx${heapMiB}m`, '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', logging, '-cp', classPath, 'kafka.Kafka', configFile];
    const started = spawn(java, args, { stdio: ['ignore', log, log] });
    fs.closeSync(log);
    return { child: started, exited: new Promise((resolve) => started.once('exit', (code) => resolve(code))) };
  };
  let { child, exited } = startProcess();
  const isRunning = () => child.exitCode === null && child.signalCode === null;
  // The last resort: neither the broker nor its data outlives the process that started it.
  const killAtExit = () => {
    child.kill('SIGKILL');
    fs.rmSync(dir, { recursive: true, force: true });
  };
  process.once('exit', killAtExit);

  let watchdog = watchFor(child.pid, dir);

  const stop = async () => {
    if (isRunning()) {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      await exited;
      clearTimeout(timer);
    }
    process.removeListener('exit', killAtExit);
    watchdog?.kill('SIGKILL');
    fs.rmSync(dir, { recursive: true, force: true });
  };

  const untilReady = async () => {
    const deadline = Date.now() + READY_TIMEOUT_MS;
    while (!(await answers(port ?? clientPort))) {
      const dead = !isRunning();
      if (dead || Date.now() > deadline) {
        const tail = fs.readFileSync(logFile, 'utf8').slice(-4000);
        await stop();
        throw new Error(
          `The Kafka broker ${dead ? 'ended while starting' : `did not answer at ${brokers} within ${READY_TIMEOUT_MS / 1000} s`}. The end of its log:\n${tail}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  await untilReady();
  return {
    brokers,
    get pid() {
      return /** @type {number} */ (child.pid);
    },
    logFile,
    get exited() {
      return exited;
    },
    listeners: Object.fromEntries(more.map((listener) => [listener.name, `localhost:${listener.port}`])),
    stop,
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
    restart: async () => {
      ({ child, exited } = startProcess());
      watchdog?.kill('SIGKILL');
      watchdog = watchFor(child.pid, dir);
      await untilReady();
    },
  };
}

/**
 * Starts several brokers as one cluster: each is a controller, too, topics have three copies (or as many as
 * there are nodes), and one copy may be missing. A dead broker is replaced within seconds.
 *
 * @param {number} nodes
 * @param {Parameters<typeof startKafka>[0]} [options]
 * @returns {Promise<Awaited<ReturnType<typeof startKafka>>[]>}
 */
export async function startCluster(nodes, { properties = {}, ...options } = {}) {
  const controllerPorts = await freePorts(nodes);
  const cluster = clusterId();
  const copies = Math.min(3, nodes);
  const settings = {
    'default.replication.factor': copies,
    'min.insync.replicas': Math.max(1, copies - 1),
    'offsets.topic.replication.factor': copies,
    'transaction.state.log.replication.factor': copies,
    'transaction.state.log.min.isr': Math.max(1, copies - 1),
    'share.coordinator.state.topic.replication.factor': copies,
    'share.coordinator.state.topic.min.isr': Math.max(1, copies - 1),
    'broker.session.timeout.ms': 3000,
    'broker.heartbeat.interval.ms': 500,
    'replica.lag.time.max.ms': 5000,
    ...properties,
  };
  const started = await Promise.allSettled(
    controllerPorts.map((_, i) => startKafka({ ...options, properties: settings, place: { id: i + 1, controllerPorts, cluster } })),
  );
  const running = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const failed = started.find((one) => one.status === 'rejected');
  if (failed === undefined) return running;
  await Promise.all(running.map((one) => one.stop()));
  throw failed.reason;
}

/**
 * A shell that waits for the end of this process, including by SIGKILL: the system closes the pipe between the two. The shell then
 * kills the broker and removes its folder. It has its own process group, so that signals to ours do not end it first.
 *
 * @param {number | undefined} pid
 * @param {string} dir
 */
function watchFor(pid, dir) {
  if (process.platform === 'win32' || pid === undefined) return undefined;
  const script = 'cat > /dev/null; kill -9 "$1" 2> /dev/null; rm -rf "$2"';
  const shell = spawn('/bin/sh', ['-c', script, 'sh', String(pid), dir], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  shell.once('error', () => {});
  shell.unref();
  shell.stdin?.unref?.();
  return shell;
}

/** What is missing for `startKafka`, or undefined when it can run here. Starts nothing. */
export function missingForKafka(version = KAFKA_VERSION) {
  try {
    findJava();
    if (!fs.existsSync(jarsMarker(version))) findMaven();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** @returns {string} the java program, of a version that Kafka 4 runs on */
function findJava() {
  const java = process.env.JAVA_HOME ? path.join(process.env.JAVA_HOME, 'bin', 'java') : 'java';
  const probe = spawnSync(java, ['-version'], { encoding: 'utf8' });
  if (probe.error || probe.status !== 0) {
    throw new Error(
      `No Java at ${java}. Apache Kafka ${KAFKA_VERSION} needs Java ${JAVA_MAJOR_MIN} or newer: install a JRE (Debian: apt-get install openjdk-17-jre-headless), or set JAVA_HOME.`,
    );
  }
  const major = Number(/version "(\d+)/.exec(probe.stderr)?.[1] ?? 0);
  if (major < JAVA_MAJOR_MIN) {
    throw new Error(`${java} is Java ${major}. Apache Kafka ${KAFKA_VERSION} needs Java ${JAVA_MAJOR_MIN} or newer: install one, and set JAVA_HOME to it.`);
  }
  return java;
}

function findMaven() {
  const probe = spawnSync('mvn', ['-version'], { encoding: 'utf8', shell: process.platform === 'win32' });
  if (probe.error || probe.status !== 0) {
    throw new Error(
      `No Maven (mvn) on the PATH. The first start fetches Apache Kafka with it: install it (Debian: apt-get install maven), or set KAFKA_BROKERS to a broker that runs.`,
    );
  }
}

/** @param {string} version */
function jarsMarker(version) {
  return path.join(cacheDir, version, 'complete');
}

/**
 * The class path of the broker. Calls Maven at the first start only: a marker file says that all jars exist.
 *
 * @param {string} version
 */
function provisionJars(version) {
  const dir = path.join(cacheDir, version);
  const marker = jarsMarker(version);
  if (!fs.existsSync(marker)) {
    findMaven();
    fs.mkdirSync(dir, { recursive: true });
    process.stderr.write(`Fetching Apache Kafka ${version} with Maven into ${path.relative(process.cwd(), dir) || dir} (once)...\n`);
    const pom = path.join(scriptsDir, 'kafka', 'pom.xml');
    const args = ['-q', '-B', '-f', pom, `-Dkafka.version=${version}`, 'dependency:copy-dependencies', `-DoutputDirectory=${dir}`, '-DincludeScope=runtime'];
    const result = spawnSync('mvn', args, { encoding: 'utf8', shell: process.platform === 'win32' });
    if (result.status !== 0) throw new Error(`Maven could not fetch Apache Kafka ${version}:\n${result.stdout}${result.stderr}`);
    fs.writeFileSync(marker, `${new Date().toISOString()}\n`);
  }
  return path.join(dir, '*');
}

/**
 * @param {number} clientPort
 * @param {{ id: number, controllerPorts: number[] }} node
 * @param {string} dataDir
 * @param {(Listener & { name: string, port: number })[]} listeners
 * @param {Record<string, string | number>} more
 */
function serverProperties(clientPort, { id, controllerPorts }, dataDir, listeners, more) {
  const further = (/** @type {(listener: Listener & { name: string, port: number }) => string} */ text) => listeners.map((each) => `,${text(each)}`).join('');
  const own = listeners.flatMap(({ name, properties = {} }) =>
    Object.entries(properties).map(([property, value]) => [`listener.name.${name.toLowerCase()}.${property}`, value]),
  );
  const controllerPort = controllerPorts[id - 1];
  const lines = {
    'process.roles': 'broker,controller',
    'node.id': id,
    listeners: `PLAINTEXT://127.0.0.1:${clientPort},CONTROLLER://127.0.0.1:${controllerPort}${further(({ name, port }) => `${name}://127.0.0.1:${port}`)}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${clientPort}${further(({ name, port }) => `${name}://localhost:${port}`)}`,
    'inter.broker.listener.name': 'PLAINTEXT',
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': `CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT${further(({ name, protocol }) => `${name}:${protocol}`)}`,
    'controller.quorum.voters': controllerPorts.map((voterPort, i) => `${i + 1}@127.0.0.1:${voterPort}`).join(','),
    'log.dirs': dataDir.replaceAll('\\', '/'),
    // One node can keep one copy only: with the defaults no group would ever find its coordinator.
    'offsets.topic.replication.factor': 1,
    'offsets.topic.num.partitions': 5,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'transaction.state.log.num.partitions': 5,
    'transaction.abort.timed.out.transaction.cleanup.interval.ms': 1000,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
    'group.initial.rebalance.delay.ms': 0,
    'group.min.session.timeout.ms': 1000,
    'num.partitions': 4,
    'num.network.threads': 2,
    'num.io.threads': 2,
    ...Object.fromEntries(own),
    ...more,
  };
  return `${Object.entries(lines)
    .map(([name, value]) => `${name}=${value}`)
    .join('\n')}\n`;
}

/** A random cluster id in Kafka's form: 16 bytes in base64url. Kafka refuses one that begins with a dash. */
function clusterId() {
  for (;;) {
    const id = randomBytes(16).toString('base64url');
    if (!id.startsWith('-')) return id;
  }
}

/**
 * Whether a broker answers an ApiVersions request (version 0) there. An open port is not enough: the broker
 * opens it before it serves requests.
 *
 * @param {number} port
 * @returns {Promise<boolean>}
 */
function answers(port) {
  return new Promise((resolve) => {
    const socket = net.connect({ host: '127.0.0.1', port });
    const done = (/** @type {boolean} */ answer) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(2000, () => done(false));
    socket.once('error', () => done(false));
    socket.once('close', () => done(false));
    // size, api key 18, version 0, correlation id 7, client id null
    socket.once('connect', () => socket.write(Buffer.from([0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 255, 255])));
    socket.once('data', (bytes) => done(bytes.length >= 10 && bytes.readInt32BE(4) === 7 && bytes.readInt16BE(8) === 0));
  });
}

/** @param {string[]} args */
function parse(args) {
  const stays = args.includes('--stay');
  const rest = args.filter((arg) => arg !== '--stay');
  if (rest.length === 0) return { port: undefined, stays };
  const port = Number(rest[1]);
  if (rest[0] === '--port' && rest.length === 2 && Number.isInteger(port) && port > 0 && port < 65_536) return { port, stays };
  process.stderr.write('Usage: npm run kafka [-- [--port <1 to 65535>] [--stay]]\n');
  process.exit(2);
}

async function main() {
  const { port, stays } = parse(process.argv.slice(2));
  /** @type {Awaited<ReturnType<typeof startKafka>> | undefined} */
  let kafka;
  let stopping = false;
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    await kafka?.stop();
    process.exit(0);
  };
  stopAtSignals(stop);
  if (!stays) watchStarters(stop);
  try {
    kafka = await startKafka(port === undefined ? {} : { port });
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    process.exit(1);
  }
  if (!stays) stopAtEndOfInput(stop);
  process.stdout.write(`KAFKA_BROKERS=${kafka.brokers}\n`);
  process.stderr.write(
    `Apache Kafka ${KAFKA_VERSION} runs (pid ${kafka.pid}, log ${path.relative(process.cwd(), kafka.logFile)}). Ctrl-C stops it and removes its data.\n`,
  );
  const code = await kafka.exited;
  if (!stopping) {
    process.stderr.write(`The broker ended by itself with code ${code}. The end of its log:\n${fs.readFileSync(kafka.logFile, 'utf8').slice(-4000)}`);
    await kafka.stop();
    process.exit(1);
  }
}

if (process.argv[1] && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)) await main();
