// `npm run fuzz`: runs the property and model tests over and over, until the time is up or it is stopped.
// Each round has another seed and a large budget. A failure is printed with the command that repeats it; the
// exit code is 1 then.
//
//   npm run fuzz                                    10 minutes, all of them
//   npm run fuzz -- --minutes 600 --effort 50       50 times the usual number of cases per round
//   npm run fuzz -- test/operators/fold.test.ts     only this file

import { randomInt } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { runFiles } from './test-run.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * Test files that take their cases from test/seed.ts, except those that need a broker: their time goes to
 * other things.
 */
function propertyTests() {
  return readdirSync(join(root, 'test'), { recursive: true })
    .filter((path) => path.endsWith('.test.ts'))
    .sort()
    .map((path) => join(root, 'test', path))
    .filter((path) => {
      const text = readFileSync(path, 'utf8');
      return /from '\.{1,2}\/seed\.ts'/.test(text) && !text.includes('kafka-broker') && !text.includes('kafka-fixture');
    });
}

const { values, positionals } = parseArgs({
  options: { minutes: { type: 'string', default: '10' }, effort: { type: 'string', default: '10' }, seed: { type: 'string' } },
  allowPositionals: true,
});
const files = positionals.length > 0 ? positionals.map((path) => resolve(path)) : propertyTests();
const endMs = performance.now() + Number(values.minutes) * 60_000;
const failures = [];
for (let round = 1; round === 1 || (performance.now() < endMs && values.seed === undefined); round++) {
  const seed = values.seed ?? String(randomInt(2 ** 31));
  console.log(`# round ${round}: ${files.length} files, MILLRACE_SEED=${seed} MILLRACE_TEST_EFFORT=${values.effort}`);
  const env = { MILLRACE_SEED: seed, MILLRACE_TEST_EFFORT: values.effort };
  for (const { file, ok } of await runFiles(files, { env, isQuiet: true })) {
    if (ok) continue;
    failures.push(`MILLRACE_SEED=${seed} MILLRACE_TEST_EFFORT=${values.effort} npm test -- ${file}`);
    console.log(`# again: ${failures.at(-1)}`);
  }
}
for (const failure of failures) console.log(`# FAILED: ${failure}`);
if (failures.length === 0) console.log('# nothing was found');
process.exit(failures.length === 0 ? 0 : 1);
