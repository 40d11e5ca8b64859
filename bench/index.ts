/**
 *   npm run bench -- [group-by|strings|windows|rows|decode|encode|threads|arrow|guarantees|operators|all|<case>...]
 *     [--quick] [--tiny] [--json]
 *
 * Each case runs ours beside its peers, with every answer verified, in rounds of random order (harness.ts).
 * It prints a table, or with --json one last line {"results":[...],"verified":true}. The exit code is 1 when
 * an answer is wrong.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { allCases } from './cases/index.ts';
import { contestantHere, contestantOutside } from './contestants.ts';
import { type BenchCase, type CaseResult, type Contestant, EFFORTS, type Effort, type Entry, failedCase, type Input, runCase } from './harness.ts';
import { compilerVersion } from './peers/cpp.ts';
import { versionOf } from './peers/installed.ts';
import { jsonOf, tableOf } from './report.ts';

const ROOMS = ['group-by', 'strings', 'windows', 'rows', 'decode', 'encode', 'threads', 'arrow', 'guarantees', 'operators', 'all'] as const;

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    tiny: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
  },
});
const effort: Effort = flags.tiny ? 'tiny' : flags.quick ? 'quick' : 'full';
const asked = positionals.length === 0 ? ['all'] : positionals;
const chosen = allCases.filter(({ name, rooms }) => asked.some((word) => word === 'all' || word === name || rooms.includes(word)));
const unknown = asked.find((word) => !ROOMS.some((room) => room === word) && !allCases.some(({ name }) => name === word));
if (unknown !== undefined) {
  console.error(`There is no bench ${JSON.stringify(unknown)}. There are ${ROOMS.join(', ')}, and the cases ${allCases.map(({ name }) => name).join(', ')}.`);
  process.exit(2);
}
const say = (text: string): void => void (flags.json ? process.stderr : process.stdout).write(`${text}\n`);

const machine = `${cpus()[0]?.model.trim() ?? 'unknown'} x ${availableParallelism()}, Node ${process.versions.node}, ${process.platform} ${process.arch}`;
const versions = {
  duckdb: versionOf('@duckdb/node-api'),
  polars: versionOf('nodejs-polars'),
  'apache-arrow': versionOf('apache-arrow'),
  flechette: versionOf('@uwdata/flechette'),
  kafkajs: versionOf('kafkajs'),
  cpp: compilerVersion(),
};
say(`# ${machine}`);
say(
  `# ${Object.entries(versions)
    .map(([name, version]) => `${name} ${version ?? '(not there)'}`)
    .join(', ')}`,
);
if (effort !== 'tiny') say(`# ${EFFORTS[effort].rounds} rounds in random order; median (least .. greatest); a ratio above 1: ours is faster`);

const scratch = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    rmSync(scratch, { recursive: true, force: true });
    process.exit(1);
  });
}
const results: CaseResult[] = [];
const startMs = performance.now();
try {
  for (const benchCase of chosen) {
    const dir = mkdtempSync(join(scratch, 'case-'));
    const input = { name: benchCase.name, size: benchCase.sizes[effort], dir, effort };
    const result = await caseResult(benchCase, input).catch((error: unknown) => failedCase(benchCase, input, error));
    results.push(result);
    rmSync(dir, { recursive: true, force: true });
    if (effort !== 'tiny') say(tableOf(result));
    for (const wrong of result.wrong) say(`WRONG: ${wrong}`);
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
const isVerified = results.every(({ wrong }) => wrong.length === 0);
say(`# ${results.length} cases in ${((performance.now() - startMs) / 1_000).toFixed(0)} s, ${isVerified ? 'every answer verified' : 'WRONG ANSWERS'}`);
if (flags.json) console.log(JSON.stringify(jsonOf(results, { effort, machine, versions })));
process.exitCode = isVerified ? 0 : 1;

async function caseResult(of: BenchCase, input: Input): Promise<CaseResult> {
  await of.setup?.(input);
  const skipped: Record<string, string> = {};
  const entries = Object.entries({ ours: of.ours, ...of.peers }).filter(([name, entry]) => {
    const why = flags.only !== undefined && name !== 'ours' && !flags.only.includes(name) ? 'not asked for' : whySkipped(entry, input);
    if (why !== undefined) skipped[name] = why;
    return why === undefined;
  });
  const started = await Promise.allSettled(
    entries.map(([name, entry]) => (effort === 'tiny' ? contestantHere(name, entry, input) : contestantOutside(of, name, entry, input))),
  );
  const contestants: Contestant[] = started.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  try {
    const failed = started.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    return await runCase(of, input, contestants, skipped);
  } finally {
    await Promise.all(contestants.map((contestant) => contestant.close()));
  }
}

function whySkipped(entry: Entry, { effort }: Input): string | undefined {
  if (effort === 'tiny' && entry.isHeavy) return 'not in --tiny';
  if (entry.tooSlow?.efforts.includes(effort)) return entry.tooSlow.why;
  return entry.missing?.();
}
