// Runs test files, each in its own Node process, a few at a time, the longest first, for `npm test`,
// `npm run fuzz` and `npm run mutants`. A file's output is printed as a whole when it has ended. Returns the
// result of each file.

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const FILE_TIMEOUT_MS = 900_000;
/**
 * Test files that run at the same time. Most start threads or processes, so two keep two cores busy; more
 * only wait.
 */
const CONCURRENCY = Number(process.env.MILLRACE_TEST_CONCURRENCY ?? 2);
/**
 * Committed seconds of the files that take long; `.cache` has those of the last local run. A file in neither
 * may take long.
 */
const COMMITTED = join(root, 'test/durations.json');
const MEASURED = join(root, '.cache/test-durations.json');
/** Node 22.1 and newer keep what they have compiled: a job with two workers then starts in half the CPU time. */
const COMPILE_CACHE = join(root, '.cache/compiled');
const SECONDS_UNKNOWN = 10;

/** The totals of the spec reporter at the end of a file. All files are summed up together. */
const TOTALS = /^ℹ (tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/;

/** Files, the longest first. Files with equal seconds are ordered by name, so that every run is the same. */
function longestFirst(files) {
  const seconds = { ...readJson(COMMITTED), ...readJson(MEASURED) };
  const of = (file) => seconds[relative(root, file)] ?? SECONDS_UNKNOWN;
  return [...files].sort((a, b) => of(b) - of(a) || (a < b ? -1 : 1));
}

/**
 * @param {readonly string[]} files absolute paths
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, flags?: readonly string[], isQuiet?: boolean, print?: (text: string) => void }} [options]
 *   cwd: a copy of the tree. flags: for Node. isQuiet: print only the output of failed files
 * @returns {Promise<{ file: string, ok: boolean, seconds: number, tests: { name: string, ok: boolean, skipped: string | undefined }[] }[]>}
 */
export async function runFiles(files, { cwd = root, env = {}, flags = [], isQuiet = false, print = (text) => process.stdout.write(text) } = {}) {
  const waiting = longestFirst(files);
  const folder = mkdtempSync(join(tmpdir(), 'millrace-test-run-'));
  const running = new Set();
  const results = [];
  let isStopped = false;
  const stop = (signal) => {
    isStopped = true;
    for (const child of running) child.kill(signal);
  };
  const onInterrupt = () => stop('SIGINT');
  const onTerminate = () => stop('SIGTERM');
  process.on('SIGINT', onInterrupt);
  process.on('SIGTERM', onTerminate);

  const one = async (file, index) => {
    const record = join(folder, `${index}.jsonl`);
    const startMs = performance.now();
    const at = (name) => pathToFileURL(join(cwd, 'scripts', name)).href;
    const reporters = ['--test-reporter=spec', '--test-reporter-destination=stdout', `--test-reporter=${at('test-record.js')}`];
    const args = ['--import', at('typescript.js'), ...reporters, `--test-reporter-destination=${record}`, ...flags, relative(cwd, file)];
    const child = spawn(process.execPath, args, { cwd, env: { NODE_COMPILE_CACHE: COMPILE_CACHE, ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    running.add(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      child.kill('SIGKILL');
    }, FILE_TIMEOUT_MS);
    const code = await new Promise((done) => child.once('close', (status, signal) => done(signal ?? status)));
    clearTimeout(timer);
    running.delete(child);
    const seconds = (performance.now() - startMs) / 1_000;
    const tests = readLines(record);
    const ok = code === 0 && (tests.length > 0 || flags.length > 0) && tests.every((test) => test.ok);
    results.push({ file: relative(cwd, file), ok, seconds, tests });
    if (ok && isQuiet) return;
    const end = isLate
      ? ` (killed after ${FILE_TIMEOUT_MS / 1_000} s)`
      : ok || code === 1
        ? ''
        : tests.length === 0
          ? ' (no test ran)'
          : ` (ended with ${code})`;
    const lines = ok ? output.split('\n').filter((line) => !TOTALS.test(line)) : output.split('\n');
    print(`${ok ? '#' : '# FAILED:'} ${relative(cwd, file)}, ${seconds.toFixed(1)} s${end}\n${lines.join('\n').trimEnd()}\n`);
  };

  let next = 0;
  const lane = async () => {
    while (next < waiting.length && !isStopped) {
      const index = next++;
      await one(waiting[index], index);
    }
  };
  try {
    await Promise.all(Array.from({ length: CONCURRENCY }, lane));
  } finally {
    process.removeListener('SIGINT', onInterrupt);
    process.removeListener('SIGTERM', onTerminate);
    rmSync(folder, { recursive: true, force: true });
  }
  if (isStopped) throw new Error('stopped by a signal');
  return results;
}

/** Saves how long files took, so that the next run begins with the longest. */
export function keepSeconds(results) {
  const seconds = readJson(MEASURED);
  for (const result of results) seconds[result.file] = Math.round(result.seconds * 10) / 10;
  mkdirSync(dirname(MEASURED), { recursive: true });
  writeFileSync(MEASURED, `${JSON.stringify(seconds, null, 1)}\n`);
}

/**
 * The summary of a run: totals, the ten slowest files, what was skipped and how to enable it, what failed.
 * The most important comes last.
 */
export function summaryOf(results) {
  const tests = results.flatMap((result) => result.tests.map((test) => ({ ...test, file: result.file })));
  const skipped = new Map();
  for (const { name, file, skipped: reason } of tests) {
    if (reason !== undefined) skipped.set(reason, [...(skipped.get(reason) ?? []), `${file}: ${name}`]);
  }
  const failed = results.filter(({ ok }) => !ok);
  const count = (of) => tests.filter(of).length;
  const lines = [
    `# ${tests.length} tests in ${results.length} files: ${count(({ ok, skipped: s }) => ok && s === undefined)} passed, ${count(({ ok }) => !ok)} failed, ${count((t) => t.skipped !== undefined)} skipped`,
  ];
  if (results.length > 1) {
    lines.push('# the slowest files:');
    const slowest = [...results].sort((a, b) => b.seconds - a.seconds).slice(0, 10);
    for (const { file, seconds } of slowest) lines.push(`#${seconds.toFixed(1).padStart(8)} s  ${file}`);
  }
  for (const [reason, names] of skipped) {
    lines.push(
      `# skipped, ${names.length === 1 ? 'one test' : `${names.length} tests`} (${names[0]}${names.length > 1 ? ', ...' : ''}): ${reason || 'no reason is given'}`,
    );
  }
  for (const { file, tests: of } of failed) {
    lines.push(`# FAILED: ${file}`);
    for (const { name, ok } of of) if (!ok) lines.push(`#   ${name}`);
  }
  return lines.join('\n');
}

function readLines(path) {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line));
  } catch {
    return [];
  }
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return {};
  }
}
