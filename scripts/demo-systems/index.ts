/**
 * The main job with real systems around it: `npm run demo:systems -- hdfs [--rows 300000] [--workers 2] [--json]`.
 *
 * It starts Kafka and the system's server, makes clicks on a topic, and runs the job that averages them per page and
 * minute into the system (job.ts). It reads the results back through the server's own interface, compares them with a
 * plain loop over the same clicks, and stops what it has started. With --json the last line is
 * {"system":"hdfs","rows":…,"seconds":…,"verified":true}. It ends with 1 if a result is missing, wrong or too many,
 * with 2 for a wrong call, and with 3 where something has to be installed first.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { onKafka } from '../../runtime/demo/on-kafka.ts';
import { run } from '../../runtime/index.ts';
import { missingForKafka, startKafka } from '../kafka.js';
import { missing, type RunningServer, startServer } from '../servers/index.js';
import { firstDifference, plainLoop } from './averages.ts';
import { SYSTEM_NAMES, systemOf } from './systems/index.ts';

const SEED = 1;

function options(): { name: string; rows: number; workers: number; json: boolean } {
  const usage = `Usage: npm run demo:systems -- ${SYSTEM_NAMES.join('|')} [--rows 300000] [--workers 2] [--json]`;
  const refuse = (message: string): never => {
    console.error(`${message}\n${usage}`);
    process.exit(2);
  };
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { rows: { type: 'string', default: '300000' }, workers: { type: 'string', default: '2' }, json: { type: 'boolean', default: false } },
    });
    const [name, ...more] = positionals;
    if (name === undefined || more.length > 0) return refuse('Give one system.');
    if (!SYSTEM_NAMES.includes(name)) return refuse(`There is no system ${JSON.stringify(name)}. There are ${SYSTEM_NAMES.join(', ')}.`);
    const whole = (option: 'rows' | 'workers'): number => {
      const value = Number(values[option]);
      return Number.isSafeInteger(value) && value > 0 ? value : refuse(`--${option} is ${values[option]}; it must be a whole number of at least 1.`);
    };
    return { name, rows: whole('rows'), workers: whole('workers'), json: values.json };
  } catch (error) {
    return refuse((error as Error).message);
  }
}

const { name, rows, workers, json } = options();
const say = (text: string): void => void (json ? process.stderr : process.stdout).write(`${text}\n`);
const system = await systemOf(name);
const lacking = missing(system.server) ?? missingForKafka();
if (lacking !== undefined) {
  console.error(lacking);
  process.exit(3);
}

/** What is to be undone, the last one first. */
const started: (() => unknown)[] = [];
async function stopAll(): Promise<void> {
  for (let stop = started.pop(); stop !== undefined; stop = started.pop()) await stop();
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stopAll().finally(() => process.exit(130)));

let isVerified = false;
try {
  say(`starting Kafka and ${name} ...`);
  const kafka = await startKafka();
  started.push(() => kafka.stop());
  const server: RunningServer = await startServer(system.server);
  started.push(() => server.stop());
  const { connect } = server;
  await system.prepare?.(connect);
  const place = await onKafka(kafka.brokers);
  started.push(() => place.close());
  const dir = mkdtempSync(join(tmpdir(), 'millrace-demo-systems-'));
  started.push(() => rmSync(dir, { recursive: true, force: true }));

  const makeClicks = new URL(`../../examples/${place.makeClicks}.ts`, import.meta.url);
  await (await run(makeClicks, { workers, trigger: 'availableNow', params: { ...place.params, rows, seed: SEED } })).done;
  say(`${rows} clicks are on Kafka; averaging them per page and minute into ${name} ${server.version} ...`);

  const job = await run(new URL('./job.ts', import.meta.url), {
    workers,
    // All clicks are there, but a topic has no end, and its last windows are checked, too.
    bounded: true,
    drain: 'emit',
    params: { ...place.params, system: name, connect },
    ...(system.guarantee === 'exactly-once' ? { guarantee: 'exactly-once', checkpoint: { dir: join(dir, 'state') } } : {}),
  });
  const { rowsOut, seconds } = await job.done;

  const found = await system.read(connect);
  const difference = firstDifference(found, await plainLoop(rows, SEED));
  isVerified = difference === undefined;
  say(`${rows} clicks in ${seconds.toFixed(1)} s, ${rowsOut} averages; read back ${found.length}: ${difference ?? 'all as the plain loop has them'}`);
  if (json) console.log(JSON.stringify({ system: name, rows, seconds, verified: isVerified, version: server.version, results: found.length }));
} finally {
  await stopAll();
}
process.exit(isVerified ? 0 : 1);
