/**
 * The checker: real processes and a real Kafka, killed and disturbed as a seed draws it, against an oracle that knows
 * the right output. `npm run soak -- --kills 20 --json`; `--help` says the rest.
 */

import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type RunningKafka, startCluster } from '../../scripts/kafka.js';
import { caught } from './canary-rounds.ts';
import { appendToLedger } from './ledger.ts';
import { Oracle } from './oracle.ts';
import { FAULTS, type FaultName, planOf } from './plan.ts';
import { rollingRestarts } from './rolling.ts';
import { Rounds } from './rounds.ts';
import { Stage } from './stage.ts';
import { CANARIES, type Canary, isCanary } from './wrapping.ts';

const HELP = `npm run soak -- [options]

  --kills <n>           processes to kill -9 (default 20); other faults come in proportion
  --faults <list>       all (default), or some of ${FAULTS.join(',')}
  --canaries <list>     all (default), none, or some of ${CANARIES.join(',')}
  --rolls <n>           restarts with a process that stands by (default: one for ten kills)
  --seed <n>            the same seed gives the same plan (default: drawn)
  --brokers <n>         brokers to start (default 3); they need 384 MiB of heap each
  --use <host:port,..>  brokers that run, in place of own ones; they are not killed
  --schedules <n>       instead of all that: simulated schedules, in memory
  --plan                print the plan, and do nothing
  --json                say nothing but the last line
  --ledger              append the result to test/soak/ledger.json

Ends with one line of JSON. Exit code 0: nothing was lost, doubled or torn, all that happened is explained, and
every canary was caught; 1: not so; 2: used wrongly.
`;

export interface SoakOptions {
  readonly kills: number;
  readonly faults: ReadonlySet<FaultName>;
  readonly canaries: readonly Canary[];
  readonly rolls: number;
  readonly seed: number;
  readonly brokers: number;
  /** Brokers that run. */
  readonly use?: readonly string[] | undefined;
  readonly say: (text: string) => void;
}

export interface SoakResult {
  readonly kills: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly torn: number;
  readonly recoverySecondsP50: number | null;
  readonly recoverySecondsMax: number | null;
  /** Without a commit, at a restart with a process that stands by. */
  readonly rollingSecondsP50: number | null;
  readonly rollingSecondsMax: number | null;
  readonly canaryCaught: boolean;
  readonly canaries: Readonly<Record<string, string | null>>;
  readonly wrong: number;
  readonly namedPoints: number;
  readonly stops: number;
  readonly fenced: number;
  readonly workerDeaths: number;
  readonly brokerKills: number;
  readonly damaged: number;
  readonly fellBack: number;
  readonly unexplained: readonly string[];
  readonly examples: readonly string[];
  readonly rows: number;
  readonly seconds: number;
  readonly seed: number;
  readonly commit: string;
}

export async function soak({ kills, faults, canaries, rolls, seed, brokers, use, say }: SoakOptions): Promise<SoakResult> {
  const startMs = performance.now();
  const dir = await mkdtemp(join(tmpdir(), 'millrace-soak-'));
  const own: RunningKafka[] = use === undefined ? await startCluster(brokers, { heapMiB: 384 }) : [];
  const addresses = use ?? own.map((broker) => broker.brokers);
  const name = `soak-${process.pid}-${Date.now().toString(36)}`;
  let stage: Stage | undefined;
  try {
    say(
      `${own.length > 0 ? `${own.length} brokers run` : `brokers: ${addresses.join(', ')}`} after ${((performance.now() - startMs) / 1_000).toFixed(1)} s; seed ${seed}`,
    );
    const oracle = new Oracle();
    stage = await Stage.open(addresses, name, seed, oracle);
    const rounds = new Rounds({ stage, oracle, brokers: own, dir, seed, say });
    stage.feed();
    const plan = planOf({ kills, faults, seed, brokers: own.length });
    for (const [number, round] of plan.entries()) await rounds.play(round, number);
    const gaps = await rollingRestarts(rolls, { rounds, stage, say });
    await stage.stopFeeding();
    await rounds.finish();
    await stage.readAll();
    const { rows, lost, duplicated, wrong, torn, examples } = oracle.verdict();
    say(`${rows} rows: lost ${lost}, duplicated ${duplicated}, wrong ${wrong}, torn ${torn}`);
    for (const example of examples) say(`  ${example}`);
    await stage.close();
    const found: Record<string, string | null> = {};
    for (const canary of canaries) {
      found[canary] = (await caught(canary, addresses, name, seed)) ?? null;
      say(`canary ${canary}: ${found[canary] === null ? 'NOT CAUGHT' : `caught: ${found[canary]}`}`);
    }
    const { recoverySeconds, unexplained, named, ...counts } = rounds.tally;
    const sorted = recoverySeconds.toSorted((a, b) => a - b);
    const rolling = gaps.toSorted((a, b) => a - b);
    const rounded = (seconds: number | undefined): number | null => (seconds === undefined ? null : Math.round(seconds * 100) / 100);
    return {
      kills: counts.kills,
      lost,
      duplicated,
      torn,
      recoverySecondsP50: rounded(sorted[sorted.length >>> 1]),
      recoverySecondsMax: rounded(sorted.at(-1)),
      rollingSecondsP50: rounded(rolling[rolling.length >>> 1]),
      rollingSecondsMax: rounded(rolling.at(-1)),
      canaryCaught: Object.values(found).every((sign) => sign !== null),
      canaries: found,
      wrong,
      namedPoints: named,
      stops: counts.stops,
      fenced: counts.fenced,
      workerDeaths: counts.workerDeaths,
      brokerKills: counts.brokerKills,
      damaged: counts.damaged,
      fellBack: counts.fellBack,
      unexplained,
      examples,
      rows,
      seconds: Math.round((performance.now() - startMs) / 1_000),
      seed,
      commit: commit(),
    };
  } finally {
    await stage?.close();
    await Promise.all(own.map((broker) => broker.stop()));
    await rm(dir, { recursive: true, force: true });
  }
}

export function isGreen({ lost, duplicated, torn, wrong, unexplained, canaryCaught }: SoakResult): boolean {
  return lost + duplicated + torn + wrong + unexplained.length === 0 && canaryCaught;
}

function commit(): string {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: new URL('.', import.meta.url), encoding: 'utf8' }).trim();
  try {
    return `${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain', '--untracked-files=no') === '' ? '' : '+'}`;
  } catch {
    return 'unknown';
  }
}

function used(wrongly: string): never {
  process.stderr.write(`${wrongly}\n\n${HELP}`);
  process.exit(2);
}

function listOf<T extends string>(name: string, text: string, all: readonly T[]): T[] {
  if (text === 'all') return [...all];
  if (text === 'none') return [];
  const names = text.split(',');
  const unknown = names.find((one) => !(all as readonly string[]).includes(one));
  return unknown === undefined ? (names as T[]) : used(`--${name} knows no ${JSON.stringify(unknown)}`);
}

function wholeNumber(name: string, text: string, least: number): number {
  const value = Number(text);
  return Number.isInteger(value) && value >= least ? value : used(`--${name} is ${JSON.stringify(text)}: give a whole number from ${least} on`);
}

async function main(): Promise<void> {
  const { values } = parse();
  if (values.help === true) {
    process.stdout.write(HELP);
    return;
  }
  const kills = wholeNumber('kills', values.kills, 0);
  const faults = new Set<FaultName>(['kill', ...listOf('faults', values.faults, FAULTS)]);
  const canaries = listOf('canaries', values.canaries, CANARIES).filter(isCanary);
  const rolls = values.rolls === undefined ? Math.ceil(kills / 10) : wholeNumber('rolls', values.rolls, 0);
  const seed = values.seed === undefined ? Math.floor(Math.random() * 1e9) : wholeNumber('seed', values.seed, 0);
  const brokers = wholeNumber('brokers', values.brokers, 1);
  if (values.plan === true) {
    for (const round of planOf({ kills, faults, seed, brokers: values.use === undefined ? brokers : 0 })) console.log(JSON.stringify(round));
    return;
  }
  const say = (text: string): void => {
    if (values.json !== true) process.stderr.write(`${text}\n`);
  };
  const command = `npm run soak -- ${process.argv.slice(2).join(' ')}`;
  if (values.schedules !== undefined) {
    const { runSchedules } = await import('./schedules.ts');
    const counts = { ...runSchedules(wholeNumber('schedules', values.schedules, 1), seed, say), commit: commit() };
    if (values.ledger === true) await appendToLedger('simulation', command, counts);
    console.log(JSON.stringify(counts));
    process.exitCode = counts.failures.length === 0 ? 0 : 1;
    return;
  }
  const result = await soak({ kills, faults, canaries, rolls, seed, brokers, use: values.use?.split(','), say });
  if (values.ledger === true) await appendToLedger('soak', command, { ...result });
  console.log(JSON.stringify(result));
  process.exitCode = isGreen(result) ? 0 : 1;
}

function parse() {
  try {
    return parseArgs({
      options: {
        kills: { type: 'string', default: '20' },
        faults: { type: 'string', default: 'all' },
        canaries: { type: 'string', default: 'all' },
        rolls: { type: 'string' },
        seed: { type: 'string' },
        brokers: { type: 'string', default: '3' },
        use: { type: 'string' },
        schedules: { type: 'string' },
        plan: { type: 'boolean' },
        json: { type: 'boolean' },
        ledger: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    });
  } catch (error) {
    return used((error as Error).message);
  }
}

if (process.argv[1] === new URL(import.meta.url).pathname) await main();
