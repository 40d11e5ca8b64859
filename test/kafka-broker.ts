/**
 * A Kafka broker for tests. `KAFKA_BROKERS` names one that runs (the test run starts one for all files, and sets it);
 * without it the first test of a process starts one with scripts/kafka.js, or with Docker. Where neither can be had the
 * test is skipped and says what to install, except in CI, where it fails.
 */

import { spawnSync } from 'node:child_process';
import net from 'node:net';
import { after, type TestContext } from 'node:test';
import { Kafka } from 'kafkajs';
import { missingForKafka, startKafka } from '../scripts/kafka.js';

const DOCKER_IMAGE = process.env['KAFKA_IMAGE'] ?? 'apache/kafka:4.1.1';
const DOCKER_READY_MS = 60_000;

interface Started {
  readonly brokers: string[];
  stop(): Promise<void>;
}

let started: Promise<Started> | undefined;

/** The bootstrap addresses, or undefined when there is no broker: then the test is marked as skipped, and returns. */
export async function kafkaBroker(t: TestContext): Promise<string[] | undefined> {
  const named = process.env['KAFKA_BROKERS'];
  if (named) return named.split(',');
  const missing = missingForKafka();
  if (missing !== undefined && !hasDocker()) {
    const advice = `No Kafka broker. ${missing} Or start Docker, or set KAFKA_BROKERS to a broker that runs.`;
    if (process.env['CI'] === 'true') throw new Error(advice);
    t.skip(advice);
    return undefined;
  }
  started ??= missing === undefined ? startProcess() : startContainer();
  return (await started).brokers;
}

const owned: { stop(): Promise<void> }[] = [];

after(async () => {
  for (const broker of owned) await broker.stop();
  await (await started?.catch(() => undefined))?.stop();
});

async function startProcess(): Promise<Started> {
  const kafka = await startKafka();
  return { brokers: [kafka.brokers], stop: () => kafka.stop() };
}

function hasDocker(): boolean {
  return spawnSync('docker', ['version', '--format', '{{.Server.Version}}'], { timeout: 5000 }).status === 0;
}

async function startContainer(): Promise<Started> {
  const port = await freePort();
  const settings = {
    NODE_ID: '1',
    PROCESS_ROLES: 'broker,controller',
    LISTENERS: 'PLAINTEXT://:9092,CONTROLLER://:9093',
    ADVERTISED_LISTENERS: `PLAINTEXT://127.0.0.1:${port}`,
    CONTROLLER_LISTENER_NAMES: 'CONTROLLER',
    LISTENER_SECURITY_PROTOCOL_MAP: 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
    CONTROLLER_QUORUM_VOTERS: '1@localhost:9093',
    OFFSETS_TOPIC_REPLICATION_FACTOR: '1',
    TRANSACTION_STATE_LOG_REPLICATION_FACTOR: '1',
    TRANSACTION_STATE_LOG_MIN_ISR: '1',
    GROUP_INITIAL_REBALANCE_DELAY_MS: '0',
    GROUP_MIN_SESSION_TIMEOUT_MS: '1000',
    NUM_PARTITIONS: '4',
  };
  const environment = Object.entries(settings).flatMap(([name, value]) => ['-e', `KAFKA_${name}=${value}`]);
  const result = spawnSync('docker', ['run', '--detach', '--rm', '--publish', `127.0.0.1:${port}:9092`, ...environment, DOCKER_IMAGE], { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`docker run ${DOCKER_IMAGE} failed: ${result.stderr}`);
  const container = result.stdout.trim();
  const brokers = [`127.0.0.1:${port}`];
  const stop = async (): Promise<void> => void spawnSync('docker', ['stop', '--time', '5', container]);
  const admin = new Kafka({ brokers, logLevel: 0, retry: { retries: 0 } }).admin();
  for (const deadline = Date.now() + DOCKER_READY_MS; ; ) {
    try {
      await admin.connect();
      await admin.describeCluster();
      await admin.disconnect();
      return { brokers, stop };
    } catch (cause) {
      if (Date.now() > deadline) {
        await stop();
        throw new Error(`the broker in Docker (${DOCKER_IMAGE}) does not answer at ${brokers[0]}`, { cause });
      }
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as net.AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/**
 * A broker that is the file's alone: to be killed, started again, or given other listeners. Stopped when the file ends. Undefined where
 * none can be started: then the test is marked as skipped.
 */
export async function ownBroker(t: TestContext, options: Parameters<typeof startKafka>[0] = {}): Promise<Awaited<ReturnType<typeof startKafka>> | undefined> {
  const missing = missingForKafka();
  if (missing !== undefined) {
    if (process.env['CI'] === 'true') throw new Error(missing);
    t.skip(missing);
    return undefined;
  }
  const broker = await startKafka(options);
  owned.push(broker);
  return broker;
}
