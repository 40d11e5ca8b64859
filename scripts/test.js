// `npm test`: builds dist if it is missing or older than the sources, checks types and lint, and runs the
// tests with one Kafka broker for all of them. At the end it says what was slow, what was skipped and why,
// and what failed. `npm test -- test/io/files.test.ts ...` runs only these files, without the checks. Kernels
// older than their sources are rebuilt. Arguments that begin with a dash go to node
// (`npm test -- --test-name-pattern=late`).
//
// Environment: KAFKA_BROKERS names a broker to use instead of starting one. With CI=true, what is missing
// fails instead of being skipped. MILLRACE_TEST_CHECKS=0 runs tests only. test/seed.ts has the number of
// generated cases and their seed.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { keepSeconds, runFiles, summaryOf } from './test-run.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);
const ROOMS = ['core', 'operators', 'io', 'runtime', 'examples'];

/** Files under a folder of the repo, in order, without installed packages. */
function filesUnder(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => (entry.name === 'node_modules' ? [] : entry.isDirectory() ? filesUnder(join(folder, entry.name)) : [join(folder, entry.name)]));
}

/**
 * Whether something in `sources` is newer than the oldest of `built`, or that is missing. Paths from the root
 * of the repo.
 */
function isStale(built, sources) {
  const targets = built.map((path) => join(root, path));
  if (!targets.every((path) => existsSync(path))) return true;
  const builtMs = Math.min(...targets.map((path) => statSync(path).mtimeMs));
  return sources
    .flatMap((path) => (statSync(join(root, path)).isDirectory() ? filesUnder(join(root, path)) : [join(root, path)]))
    .some((path) => !path.endsWith('.md') && statSync(path).mtimeMs > builtMs);
}

const KERNELS = ['dist/core/kernels.wasm'];
const isBuildStale = () =>
  isStale([...KERNELS, 'dist/core/index.js', 'dist/runtime/index.js'], [...ROOMS, 'package.json', 'tsconfig.json', 'tsconfig.build.json', 'scripts/build.js']);
const areKernelsStale = () => isStale(KERNELS, ['core/kernels', 'scripts/build.js']);

/** Runs one of our programs, or a package's, with this Node. */
function runNode(title, args) {
  console.log(`# ${title}`);
  const startMs = performance.now();
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  console.log(`# ${title}: ${status === 0 ? 'done' : 'FAILED'} in ${((performance.now() - startMs) / 1_000).toFixed(1)} s`);
  return status === 0;
}

function bin(packageName, name) {
  const manifest = require.resolve(`${packageName}/package.json`);
  const { bin: bins } = require(manifest);
  return join(dirname(manifest), typeof bins === 'string' ? bins : bins[name]);
}

/**
 * Sets KAFKA_BROKERS, if a broker is available. Without one the tests that need it skip, or fail with
 * CI=true.
 */
async function provideBroker(files) {
  if (process.env.KAFKA_BROKERS || !files.some((file) => readFileSync(file, 'utf8').includes('kafka-broker'))) return undefined;
  const { missingForKafka, startKafka } = await import('./kafka.js');
  if (missingForKafka() !== undefined) return undefined;
  const kafka = await startKafka();
  process.env.KAFKA_BROKERS = kafka.brokers;
  console.log(`# Kafka broker at ${kafka.brokers}`);
  return kafka;
}

const given = process.argv.slice(2);
const flags = given.filter((arg) => arg.startsWith('-'));
const named = given.filter((arg) => !arg.startsWith('-')).map((path) => resolve(path));
const files = named.length > 0 ? named : filesUnder(join(root, 'test')).filter((path) => path.endsWith('.test.ts'));
const absent = files.find((path) => !existsSync(path));
if (absent !== undefined) {
  console.error(`There is no test file ${relative(root, absent)}.`);
  process.exit(2);
}

const failed = [];
/** Some tests look at the package as it is built. */
const needsBuild = files.some((file) => /packed-package|dist\//.test(readFileSync(file, 'utf8')));
if (needsBuild && isBuildStale() && !runNode('build', ['scripts/build.js'])) process.exit(1);
if (areKernelsStale() && !runNode('kernels', ['scripts/build.js', 'kernels'])) process.exit(1);
if (named.length === 0 && process.env.MILLRACE_TEST_CHECKS !== '0') {
  if (!runNode('types', [bin('typescript', 'tsc'), '-p', 'tsconfig.json'])) failed.push('types');
  if (!runNode('lint', [bin('@biomejs/biome', 'biome'), 'check'])) failed.push('lint');
}

const broker = await provideBroker(files);
let results = [];
try {
  results = await runFiles(files, { flags });
} catch (error) {
  console.error(`# ${error.message}`);
} finally {
  await broker?.stop();
}
if (flags.length === 0) keepSeconds(results);
console.log(summaryOf(results));
if (results.length < files.length || results.some(({ ok }) => !ok)) failed.push('tests');
console.log(failed.length === 0 ? '# all passed' : `# FAILED: ${failed.join(', ')}`);
process.exit(failed.length === 0 ? 0 : 1);
