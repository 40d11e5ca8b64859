// `npm test`: builds dist when it is missing or older than the sources, checks types and lint, and runs the tests with one
// Kafka broker for all of them. `npm test -- test/io/files.test.ts ...` runs these files only, without the checks; what
// begins with a dash goes to node (`npm test -- --test-name-pattern=late`).
//
// Environment: KAFKA_BROKERS, a broker to use instead of starting one; CI=true, what is missing fails instead of being
// skipped; MILLRACE_TEST_CHECKS=0, tests only.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);
const ROOMS = ['core', 'operators', 'io', 'runtime', 'examples'];
/** Test files that run at the same time. */
const CONCURRENCY = 2;
const TEST_TIMEOUT_MS = 900_000;

/** Files under a folder of the repo, in order, without installed packages. */
function filesUnder(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => (entry.name === 'node_modules' ? [] : entry.isDirectory() ? filesUnder(join(folder, entry.name)) : [join(folder, entry.name)]));
}

function isBuildStale() {
  const built = ['dist/core/kernels.wasm', 'dist/core/index.js', 'dist/runtime/index.js'].map((path) => join(root, path));
  if (!built.every((path) => existsSync(path))) return true;
  const builtMs = Math.min(...built.map((path) => statSync(path).mtimeMs));
  const sources = ROOMS.flatMap((room) => filesUnder(join(root, room))).filter((path) => !path.endsWith('.md'));
  return [...sources, ...['package.json', 'tsconfig.json', 'tsconfig.build.json', 'scripts/build.js'].map((path) => join(root, path))].some(
    (path) => statSync(path).mtimeMs > builtMs,
  );
}

/** Runs a program of ours or of a package with this Node. */
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

/** Sets KAFKA_BROKERS, if a broker can be had. Without one the tests that need it skip, or fail with CI=true. */
async function provideBroker(files) {
  if (process.env.KAFKA_BROKERS || !files.some((file) => readFileSync(file, 'utf8').includes('kafka-broker'))) return undefined;
  const { missingForKafka, startKafka } = await import('./kafka.js');
  const missing = missingForKafka();
  if (missing !== undefined) {
    console.log(`# no Kafka broker: ${missing}`);
    return undefined;
  }
  const kafka = await startKafka();
  process.env.KAFKA_BROKERS = kafka.brokers;
  console.log(`# Kafka broker at ${kafka.brokers}`);
  return kafka;
}

function runTests(flags, files) {
  const args = [
    '--import',
    'tsx',
    '--test',
    `--test-concurrency=${CONCURRENCY}`,
    `--test-timeout=${TEST_TIMEOUT_MS}`,
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    ...flags,
    ...files,
  ];
  const child = spawn(process.execPath, args, { cwd: root, stdio: 'inherit' });
  // The terminal's signal reaches the child too; what is left to do is the broker.
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
  return new Promise((done) => child.once('exit', (code) => done(code ?? 1)));
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
if (named.length === 0 && process.env.MILLRACE_TEST_CHECKS !== '0') {
  if (isBuildStale() && !runNode('build', ['scripts/build.js'])) process.exit(1);
  if (!runNode('types', [bin('typescript', 'tsc'), '-p', 'tsconfig.json'])) failed.push('types');
  if (!runNode('lint', [bin('@biomejs/biome', 'biome'), 'check'])) failed.push('lint');
} else if (!existsSync(join(root, 'dist/core/kernels.wasm')) && !runNode('kernels', ['scripts/build.js', 'kernels'])) process.exit(1);

const broker = await provideBroker(files);
let code = 1;
try {
  code = await runTests(
    flags,
    files.map((path) => relative(root, path)),
  );
} finally {
  await broker?.stop();
}
if (code !== 0) failed.push('tests');
console.log(failed.length === 0 ? '# all passed' : `# FAILED: ${failed.join(', ')}`);
process.exit(failed.length === 0 ? 0 : 1);
