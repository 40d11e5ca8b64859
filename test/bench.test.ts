/** The bench suite at its tiny size: every case runs, every answer is that of its reference. Nothing is timed. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { allCases } from '../bench/cases/index.ts';
import { type BenchCase, type Contestant, figuresOf, ROWS, runCase, type Sample } from '../bench/harness.ts';
import { type JsonReport, jsonOf, tableOf } from '../bench/report.ts';
import { TYPESCRIPT } from './typescript.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const bench = (...args: string[]) =>
  spawnSync(process.execPath, [...TYPESCRIPT, 'bench/index.ts', ...args], { cwd: root, encoding: 'utf8', maxBuffer: 16 << 20 });

/** What the issue that asked for the suite wants to find in it. */
const NAMES = [
  'group-by/u32/100',
  'group-by/u32/10k',
  'group-by/u32/1M-growing',
  'group-by/u32/10M-growing',
  'group-by/i64/1M',
  'group-by/utf8/10k',
  'group-by/utf8/1M',
  'group-by/utf8+i32/100k',
  'window/sliding-1',
  'window/sliding-500',
  'rows/filter-map-aggregate',
  'decode/json',
  'decode/json-shuffled',
  'decode/record-batch',
  'decode/arrow',
  'encode/json',
  'encode/arrow',
  'threads/2-over-1',
];
const PEERS = ['duckdb1', 'duckdb2', 'polars1', 'cpp', 'map', 'jsonParse', 'kafkajs', 'apacheArrow', 'flechette', 'handWritten'];

describe('bench', () => {
  test('has the cases and the peers that it is known for', () => {
    const names = allCases.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
    for (const name of NAMES) assert.ok(names.includes(name), name);
    const peers = new Set(allCases.flatMap((of) => Object.keys(of.peers)));
    for (const peer of PEERS) assert.ok(peers.has(peer), peer);
  });

  test('every answer of every case is right', () => {
    const { status, stdout, stderr } = bench('all', '--tiny', '--json');
    assert.equal(status, 0, stderr);
    const report = JSON.parse(stdout.trimEnd().split('\n').at(-1) as string) as JsonReport;
    assert.equal(report.verified, true);
    assert.deepEqual(
      report.results.map(({ name }) => name),
      allCases.map(({ name }) => name),
    );
    for (const { name, peers, skipped } of report.results) {
      assert.deepEqual([...Object.keys(peers), ...Object.keys(skipped)].sort(), Object.keys(allCases.find((of) => of.name === name)?.peers ?? {}).sort(), name);
    }
  });

  // rows and codecs are run by the tests of what they measure.
  for (const name of ['aggregators', 'arrow', 'group-table', 'over', 'pipeline', 'record-batch', 'ring', 'view', 'windows']) {
    test(`bench/micro/${name}.ts verifies at its tiny size`, () => {
      const { status, stdout, stderr } = spawnSync(process.execPath, [...TYPESCRIPT, `bench/micro/${name}.ts`, '--tiny'], { cwd: root, encoding: 'utf8' });
      assert.equal(status, 0, stderr);
      assert.match(stdout, /verified/);
    });
  }

  test('an unknown bench is refused with the list of those there are', () => {
    const { status, stderr } = bench('group-buy', '--tiny');
    assert.equal(status, 2);
    assert.match(stderr, /no bench "group-buy".*group-by\/u32\/10k/s);
  });
});

/** A case of one number, and contestants that answer as told. */
function told(answers: Record<string, { digest: number[]; seconds: number }[]>) {
  const of: BenchCase = { name: 'told', rooms: [], unit: ROWS, sizes: { full: 1, quick: 1, tiny: 1 }, expected: () => [42], ours: {}, peers: { peer: {} } };
  const contestants: Contestant[] = Object.entries(answers).map(([name, samples]) => ({
    name,
    entry: {},
    sample: async (): Promise<Sample> => ({ units: 1e6, cpuSeconds: 1, ...(samples.length > 1 ? samples.shift() : samples[0]) }) as Sample,
    close: async () => {},
  }));
  return runCase(of, { name: 'told', size: 1, dir: '', effort: 'quick' }, contestants, {});
}

describe('the bench harness', () => {
  test('takes the ratio of speeds within a round, and the median of the rounds', async () => {
    const result = await told({ ours: [{ digest: [42], seconds: 1 }], peer: [{ digest: [42], seconds: 2 }] });
    assert.deepEqual(result.wrong, []);
    assert.equal(result.ours.figures.median, 1);
    assert.equal(result.peers[0]?.figures.median, 0.5);
    assert.equal(result.peers[0]?.ratio.median, 2);
    const report = jsonOf([result], { effort: 'quick' });
    assert.deepEqual(report.results[0]?.peers, { peer: 2 });
    assert.equal(report.verified, true);
    assert.match(tableOf(result), /peer +0\.50 M rows\/s .* ours 2\.00x/);
  });

  test('finds a wrong answer at once, and one that comes last', async () => {
    const atOnce = await told({ ours: [{ digest: [42], seconds: 1 }], peer: [{ digest: [41], seconds: 1 }] });
    assert.match(atOnce.wrong.join(), /peer gives 41; the reference has 42/);
    const late = await told({
      ours: [
        { digest: [42], seconds: 1 },
        { digest: [42], seconds: 1 },
        { digest: [43], seconds: 1 },
      ],
      peer: [{ digest: [42], seconds: 1 }],
    });
    assert.match(late.wrong.join(), /ours gives 43/);
    assert.equal(jsonOf([late], {}).verified, false);
  });

  test('medians and spreads', () => {
    assert.deepEqual(figuresOf([3, 1, 2]), { median: 2, min: 1, max: 3 });
    assert.deepEqual(figuresOf([4, 1, 2, 3]), { median: 2.5, min: 1, max: 4 });
  });
});
