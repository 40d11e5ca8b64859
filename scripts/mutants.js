// `npm run mutants`: plants faults, one at a time, in a copy of the tree, and runs the tests that should find
// each. A fault that no test finds is a hole in the tests, and the exit code is 1. The faults are in
// test/mutants.json. test/mutants.test.ts checks that each can still be planted. `npm run mutants -- session`
// plants those whose name contains the word.

import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runFiles } from './test-run.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const LEFT_OUT = new Set(['.git', '.cache', 'node_modules']);

const word = process.argv[2] ?? '';
const mutants = JSON.parse(readFileSync(join(root, 'test/mutants.json'), 'utf8')).filter(({ name }) => name.includes(word));
const copy = mkdtempSync(join(tmpdir(), 'millrace-mutants-'));
const missed = [];
try {
  cpSync(root, copy, { recursive: true, filter: (path) => path === root || dirname(path) !== root || !LEFT_OUT.has(path.slice(root.length + 1)) });
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'), 'junction');
  const build = () => {
    const { status, stderr } = spawnSync(process.execPath, ['scripts/build.js', 'kernels'], { cwd: copy, encoding: 'utf8' });
    if (status !== 0) throw new Error(`the kernels cannot be built:\n${stderr}`);
  };
  for (const { name, file, from, to, tests } of mutants) {
    const path = join(copy, file);
    const text = readFileSync(path, 'utf8');
    if (text.split(from).length !== 2) throw new Error(`${name}: ${file} does not have the text to replace once`);
    writeFileSync(
      path,
      text.replace(from, () => to),
    );
    const isKernel = file.startsWith('core/kernels/');
    if (isKernel) build();
    const results = await runFiles(
      tests.map((test) => join(copy, test)),
      { cwd: copy, print: () => {} },
    );
    writeFileSync(path, text);
    if (isKernel) build();
    const found = results.flatMap(({ tests: of }) => of.filter(({ ok }) => !ok).map((test) => test.name));
    const isFound = results.some(({ ok }) => !ok);
    if (!isFound) missed.push(name);
    console.log(`# ${isFound ? 'found' : 'MISSED'}: ${name} (${file})${isFound ? `: ${found[0] ?? 'the file failed'}` : `: ${tests.join(' ')} stayed green`}`);
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
console.log(missed.length === 0 ? `# all ${mutants.length} planted faults were found` : `# MISSED: ${missed.join('; ')}`);
process.exit(missed.length === 0 ? 0 : 1);
