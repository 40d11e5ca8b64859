/**
 * The ports of known programs (examples/ports): each finds what a plain loop over the same rows finds. By any number
 * of workers, however its rows are cut into epochs, interpreted or compiled, from a snapshot in the middle, and
 * through crashes.
 */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Made, Outcome, Port } from '../../examples/ports/port.ts';
import { type AnyRow, type PipelineLike, type Rng, type RunOptions, run, seededRng } from '../../runtime/index.ts';
import { type DriverSnapshot, simulate, type TestDriver, testDriver } from '../../runtime/testing.ts';
import { caseCount, seedOf, shareOf } from '../seed.ts';

const folder = new URL('../../examples/ports/', import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith('.ts') && /^export default /m.test(readFileSync(new URL(name, folder), 'utf8')));

interface Program {
  readonly default: PipelineLike;
  readonly port: Port;
}

/** A row as text, whatever the order of its columns. */
const shownRow = (row: object): string => JSON.stringify(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1)));

/** What the loops of the outcomes come to, each once. */
const wanted = new Map<Outcome, readonly string[]>();

function wantedOf(outcome: Outcome): readonly string[] {
  const known = wanted.get(outcome) ?? outcome.expected().map(shownRow).sort();
  wanted.set(outcome, known);
  return known;
}

function mustAgree(outcome: Outcome, rows: readonly AnyRow[], how: string): void {
  const { latestBy } = outcome;
  const latest = latestBy === undefined ? rows : [...new Map(rows.map((row) => [JSON.stringify(latestBy.map((column) => row[column])), row])).values()];
  // Of a table: what was taken back, and nothing came in its place, is gone.
  const there = latest.flatMap(({ retracted, ...row }) => (retracted === true ? [] : [row]));
  assert.deepEqual(there.map(shownRow).sort(), wantedOf(outcome), how);
  assert.ok(rows.length > 1, how);
}

const partitionsOf = ({ inputs }: Port): number => Math.min(...inputs.filter(({ isTable }) => !isTable).map((input) => input.partitions));

/** Rows of all streams in the order of their times, in random epochs; then the rest at once. */
interface Cut {
  readonly input: number;
  readonly rows: readonly AnyRow[];
}

function epochsOf(port: Port, rng: Rng, epochRowsMax: number): Cut[][] {
  const at = (row: AnyRow): number => row['at'] as number;
  const tables = port.inputs.flatMap(({ isTable, rows }, input) => (isTable ? [{ input, rows: rows as readonly AnyRow[] }] : []));
  const left = port.inputs.map(({ isTable, rows }) => (isTable ? [] : [...(rows as readonly AnyRow[])]));
  const epochs: Cut[][] = tables.length === 0 ? [] : [tables];
  while (left.some((rows) => rows.length > 0)) {
    const epoch: Cut[] = [];
    // Streams go on at about the same pace; none gets ahead of another by more than some rows.
    const until = Math.min(...left.filter((rows) => rows.length > 0).map((rows) => at(rows[Math.min(rng.int(epochRowsMax), rows.length - 1)] as AnyRow)));
    left.forEach((rows, input) => {
      let count = 0;
      while (count < rows.length && at(rows[count] as AnyRow) <= until) count++;
      if (count > 0) epoch.push({ input, rows: rows.splice(0, count) });
    });
    epochs.push(epoch);
  }
  return epochs;
}

function driven({ default: pipeline, port }: Program, seed: number): void {
  const rng = seededRng(seed);
  rng.seek(0);
  const epochs = epochsOf(port, rng, rng.pick([3, 40, 600]));
  const partitions = partitionsOf(port);
  const options = { shards: 1 + rng.int(4), codeGeneration: rng.chance(0.5), partitions };
  const how = `seed ${seed}: ${epochs.length} epochs, ${JSON.stringify(options)}`;
  const middle = rng.int(epochs.length);
  const outputs = port.outcomes.map((): AnyRow[] => []);
  const take = (driver: TestDriver): void => port.outcomes.forEach(({ sink }, o) => outputs[o]?.push(...driver.output(sink)));
  let driver = testDriver(pipeline, options);
  epochs.forEach((epoch, number) => {
    for (const { input, rows } of epoch) {
      for (let partition = 0; partition < partitions; partition++) {
        const own = rows.filter((_, i) => i % partitions === partition);
        if (own.length > 0) driver.send((port.inputs[input] as Made<AnyRow>).source, own, { partition });
      }
    }
    driver.endEpoch();
    if (number !== middle) return;
    take(driver);
    const snapshot: DriverSnapshot = structuredClone(driver.snapshot());
    driver = testDriver(pipeline, { from: snapshot, shards: 1 + rng.int(4), codeGeneration: rng.chance(0.5) });
  });
  driver.close();
  take(driver);
  port.outcomes.forEach((outcome, o) => mustAgree(outcome, outputs[o] as AnyRow[], `outcome ${o}, ${how}`));
}

/** Lines of a program: what stands before its data, without imports, comments and blank lines. */
function linesOf(text: string): number {
  const program = text.slice(0, text.search(/^\/\/ (The data|A plain loop)/m)).replace(/^import [^;]*;$/gm, '');
  return program.split('\n').filter((line) => line.trim() !== '' && !line.trim().startsWith('//')).length;
}

test('the README lists every port, with the lines that it has', () => {
  const table = [...readFileSync(new URL('README.md', folder), 'utf8').matchAll(/^\| `([\w-]+\.ts)` \|[^|]*\| (\d+) \|/gm)];
  assert.deepEqual(
    table.map(([, file, lines]) => `${file} ${lines}`).sort(),
    files.map((file) => `${file} ${linesOf(readFileSync(new URL(file, folder), 'utf8'))}`).sort(),
  );
});

for (const file of files) {
  describe(file.slice(0, -3), async () => {
    const url = new URL(file, folder);
    const program = (await import(fileURLToPath(url))) as Program;
    test('as a job', async () => {
      const cases: readonly RunOptions[] = [{ workers: 3, trigger: '1ms', epochBytes: '64KiB', codeGeneration: false }, { workers: 1 }];
      for (const options of shareOf(cases)) {
        const job = await run(url, options);
        await job.done;
        assert.equal(job.progress().ledger.late, 0);
        for (const outcome of program.port.outcomes) mustAgree(outcome, outcome.sink.rows, JSON.stringify(options));
      }
    });
    test('through crashes, each result once', () => {
      const { inputs, outcomes } = program.port;
      const check = (outputs: readonly (readonly AnyRow[])[]): undefined => {
        outcomes.forEach((outcome, o) => mustAgree(outcome, outputs[o] as readonly AnyRow[], `outcome ${o}`));
      };
      const options = { input: inputs.map(({ rows }) => rows as readonly AnyRow[]), partitions: partitionsOf(program.port), check };
      assert.equal(simulate(program.default, { ...options, runs: caseCount(2), seed: seedOf(1) }).failure, undefined);
    });
    test('in any epochs, from any snapshot', () => {
      for (let i = 0; i < caseCount(8); i++) driven(program, seedOf(0) + i);
    });
  });
}
