/** The rules of the house, checked over every file that git knows, and checked themselves. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LINES_LONG, objectionsTo } from './tidy/rules.ts';
import { codeOf, importsOf } from './tidy/source-text.ts';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const TEXT = /\.(ts|js|json|md|yml|yaml|xml|properties|fbs|py)$|(^|\/)(run|LICENSE|\.[a-z]+)$/;

function trackedFiles(): string[] {
  const { status, stdout } = spawnSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root, encoding: 'utf8' });
  assert.equal(status, 0, 'the tidy test asks git which files there are');
  return stdout.split('\0').filter((path) => path !== '' && existsSync(join(root, path)));
}

describe('tidy', () => {
  const files = trackedFiles();

  test('no file breaks a rule', (t) => {
    const found: string[] = [];
    const long: string[] = [];
    for (const path of files) {
      if (!TEXT.test(path)) {
        found.push(...objectionsTo(path, ''));
        continue;
      }
      const source = readFileSync(join(root, path), 'utf8');
      found.push(...objectionsTo(path, source));
      const lines = source.split('\n').length;
      if (path.endsWith('.ts') && !path.includes('/generated/') && lines > LINES_LONG) long.push(`${path} (${lines})`);
    }
    if (long.length > 0) t.diagnostic(`over ${LINES_LONG} lines, is each still one room? ${long.join(', ')}`);
    assert.deepEqual(found, []);
  });

  test('nothing names the place where this copy lies', () => {
    const place = `${root}/`;
    const naming = files.filter((path) => TEXT.test(path) && readFileSync(join(root, path), 'utf8').includes(place));
    assert.deepEqual(naming, []);
  });

  test('every room has a README and a door', () => {
    for (const room of ['core', 'operators', 'io', 'runtime', 'bench', 'examples', 'test']) assert.ok(files.includes(`${room}/README.md`), `${room}/README.md`);
    for (const room of ['core', 'operators', 'io', 'runtime']) assert.ok(files.includes(`${room}/index.ts`), `${room}/index.ts`);
  });
});

describe('the tidy rules object', () => {
  const head = '/** A file. */\n';
  const cases: [what: string, path: string, source: string, objection: RegExp | undefined][] = [
    ['core knows no other room', 'core/a.ts', "import { x } from '../io/index.ts';", /core must not know io/],
    ['nor by a re-export', 'core/deep/a.ts', "export * from '../../operators/a.ts';", /core must not know operators/],
    ['nor for types', 'core/a.ts', "import type { X } from '../runtime/x.ts';", /must not know runtime/],
    ['nor late', 'core/a.ts', "const x = import('../runtime/x.ts');", /must not know runtime/],
    ['over several lines', 'core/a.ts', "import {\n  x,\n  y,\n} from '../io/x.ts';", /a\.ts:5: .*must not know io/],
    ['core has one package', 'core/a.ts', "import x from 'kafkajs';", /kafkajs, which is not for core/],
    ['and no file system', 'core/a.ts', "import fs from 'node:fs';", /node:fs, which is not for core/],
    ['but in kernels.ts', 'core/kernels.ts', "import fs from 'node:fs';", undefined],
    ['flatbuffers is for core', 'core/arrow/read.ts', "import * as flatbuffers from 'flatbuffers';", undefined],
    ['within a room all is free', 'core/arrow/read.ts', "import { x } from '../batch.ts';", undefined],
    ['operators go through the door', 'operators/a.ts', "import { x } from '../core/batch/batch.ts';", /go through core\/index\.ts/],
    ['which is this', 'operators/rows/a.ts', "import { x } from '../../core/index.ts';", undefined],
    ['acorn is for the row functions', 'operators/filter.ts', "import { parse } from 'acorn';", /acorn, which is not for operators/],
    ['there it is', 'operators/rows/parse.ts', "import { parse } from 'acorn';", undefined],
    ['operators and io do not meet', 'operators/a.ts', "import { x } from '../io/index.ts';", /operators must not know io/],
    ['nor the other way', 'io/a.ts', "import { x } from '../operators/index.ts';", /io must not know operators/],
    ['kafkajs is for io/kafka', 'io/log/a.ts', "import { Kafka } from 'kafkajs';", /kafkajs, which is not for io/],
    ['there it is', 'io/kafka/a.ts', "import { Kafka } from 'kafkajs';", undefined],
    ['threads are for runtime', 'io/a.ts', "import { Worker } from 'node:worker_threads';", /not for io/],
    ['and the pool', 'io/a.ts', "import { Piscina } from 'piscina';", /not for io/],
    ['runtime may', 'runtime/a.ts', "import { Worker } from 'node:worker_threads';\nAtomics.wait(a, 0, 0);", undefined],
    ['only runtime waits', 'io/a.ts', 'Atomics.waitAsync(a, 0, 0);', /only runtime waits/],
    ['examples use the package by its name', 'examples/a.ts', "import { x } from '../runtime/index.ts';", /examples must not know runtime/],
    ['as here', 'examples/a.ts', "import { x } from 'millrace/io/kafka';", undefined],
    ['operators are synchronous', 'operators/a.ts', 'export async function f() {}', /async: operators runs to completion/],
    ['core too', 'core/a.ts', 'setTimeout(f, 1);', /setTimeout: core runs to completion/],
    ['a property of that name is none', 'operators/a.ts', 'const f = node.async ? { async: 1 } : g;', undefined],
    ['core has no clock', 'core/a.ts', 'const now = Date.now();', /no clock of its own/],
    ['io may be asynchronous', 'io/a.ts', 'export async function f() { await g(); }', undefined],
    [
      'words in comments and texts do not count',
      'core/a.ts',
      "// async\n/* await */ const a = 'await'; const b = `Promise ${1} await`; const c = /async/;",
      undefined,
    ],
    ['code in a template does', 'core/a.ts', 'const a = `${await x}`;', /await/],
    ['names that say nothing', 'io/utils.ts', '', /says nothing/],
    ['in any form', 'io/kafka-helpers.ts', '', /says nothing/],
    ['names in another case', 'io/recordIndex.ts', '', /kebab-case/],
    ['what is built', 'dist/core/kernels.wasm', '', /nothing that is built/],
    ['paths of a machine', 'README.md', `cd /${'home'}/jane/millrace`, /path of one machine/],
    ['addresses of a registry', 'notes.md', `see https://${'registry'}.npmjs.org/x`, /address of a registry/],
    ['download addresses in the lock', 'package-lock.json', '"resolved": "https://example.com/x.tgz"', /download addresses/],
    ['tests that do not run', 'test/a.test.ts', "test.only('x', f);", /every test runs/],
    ['by an option', 'test/a.test.ts', "test('x', { skip: true }, f);", /every test runs/],
    ['a reason given at run time is no mute', 'test/a.test.ts', "t.skip('no broker');", undefined],
    ['cases from one place', 'test/core/a.test.ts', "import fc from 'fast-check';", /a\.test\.ts:\d+: fast-check comes from test\/seed\.ts/],
    ['which may', 'test/seed.ts', "import fc from 'fast-check';", undefined],
    ['one word for a test', 'test/core/a.test.ts', "it('x', f);", /called test/],
    ['as here', 'test/core/a.test.ts', "test('x', f); a.it(f); commit(f);", undefined],
    ['left-over marks', 'io/a.ts', `// ${'TO'}DO: later`, new RegExp(`${'TO'}DO`)],
    ['chance', 'runtime/a.ts', 'Math.random();', /not here/],
  ];
  for (const [what, path, source, objection] of cases) {
    test(`${what} (${path})`, () => {
      const isSource = path.endsWith('.ts');
      const found = objectionsTo(path, isSource ? `${head}${source}` : source);
      if (objection === undefined) assert.deepEqual(found, []);
      else assert.match(found.join('\n'), objection);
    });
  }

  test('a file that does not say what it is', () => {
    assert.match(objectionsTo('core/a.ts', 'export const a = 1;\n').join(), /begin with a paragraph/);
  });

  test('what it looks at is the code: same length, same lines, no texts', () => {
    const source = "const a = 'it''s'; // x\nconst b = `a${`b${c}` + '}'}d`;\nconst d = a / b / c; const e = /['\"`/*]/.test('x'); /* y\n */ f();";
    const code = codeOf(source);
    assert.equal(code.length, source.length);
    assert.equal(code.split('\n').length, source.split('\n').length);
    assert.match(code, /f\(\);$/);
    assert.match(code, /a \/ b \/ c/);
    assert.deepEqual(
      importsOf("const x = 'import from'; import a from 'b';\nexport { c } from \"d\";\nimport 'e';").map((i) => [i.from, i.line]),
      [
        ['b', 1],
        ['d', 2],
        ['e', 3],
      ],
    );
  });
});
