/** The faults that `npm run mutants` plants: each can be planted in the sources as they are, and names tests that are there. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
  readonly tests: readonly string[];
}

const at = (path: string) => new URL(`../${path}`, import.meta.url);
const mutants = JSON.parse(readFileSync(at('test/mutants.json'), 'utf8')) as Mutant[];

test('there are ten or more, each with a name of its own', () => {
  assert.ok(mutants.length >= 10);
  assert.equal(new Set(mutants.map(({ name }) => name)).size, mutants.length);
});

for (const { name, file, from, to, tests } of mutants) {
  test(`can be planted: ${name}`, () => {
    assert.equal(readFileSync(at(file), 'utf8').split(from).length - 1, 1, `${file} has this not exactly once: ${from}`);
    assert.notEqual(from, to);
    assert.ok(tests.length > 0);
    for (const path of tests) assert.ok(existsSync(at(path)), path);
  });
}
