/** The rules of the house, checked over every file that git knows, and checked themselves. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ARROWS, arrowObjections, circlesAmong, subRoomOf } from './tidy/arrows.ts';
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

  test('each test that docs/GUARANTEES.md names is there', () => {
    const text = readFileSync(join(root, 'docs/GUARANTEES.md'), 'utf8');
    const paths = [...text.matchAll(/`(test\/[a-z/-]+\.test\.ts)`/g)].map(([, path]) => path as string);
    const rows = text.split('\n').flatMap((line) => /\| ((?:`[a-z-]+`(?:, )?)+) \|$/.exec(line)?.[1] ?? []);
    const names = rows.flatMap((row) => row.split(', ')).map((name) => `/${name.replaceAll('`', '')}.test.ts`);
    assert.ok(paths.length > 2 && names.length > 8);
    assert.deepEqual(
      paths.filter((path) => !files.includes(path)),
      [],
    );
    assert.deepEqual(
      names.filter((name) => !files.some((path) => path.endsWith(name))),
      [],
    );
  });

  test('nothing names the place where this copy lies', () => {
    const place = `${root}/`;
    const naming = files.filter((path) => TEXT.test(path) && readFileSync(join(root, path), 'utf8').includes(place));
    assert.deepEqual(naming, []);
  });

  test('no file imports in a circle', () => {
    const sources = new Map(
      files.filter((path) => /^(core|operators|io|runtime)\/.*\.ts$/.test(path)).map((path) => [path, readFileSync(join(root, path), 'utf8')]),
    );
    assert.ok(sources.size > 200);
    assert.deepEqual(circlesAmong(sources), []);
  });

  test('every sub-room on the list is there', () => {
    for (const [room, arrows] of ARROWS) {
      for (const [subRoom] of arrows) {
        const own = files.filter((path) => path.startsWith(`${room}/`) && path.endsWith('.ts') && subRoomOf(path) === subRoom);
        assert.ok(own.length > 0, `${room}/${subRoom} is named in test/tidy/arrows.ts, and nothing is in it`);
      }
    }
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
    ['but where kernels are loaded', 'core/memory/kernel-module.ts', "import fs from 'node:fs';", undefined],
    ['flatbuffers is for core', 'core/arrow/read.ts', "import * as flatbuffers from 'flatbuffers';", undefined],
    ['within a sub-room all is free', 'core/arrow/read.ts', "import { x } from './schema.ts';", undefined],
    ['operators go through the door', 'operators/a.ts', "import { x } from '../core/batch/batch.ts';", /go through core\/index\.ts/],
    ['which is this', 'operators/rows/a.ts', "import { x } from '../../core/index.ts';", undefined],
    ['doors of sub-rooms are for the room', 'runtime/job/a.ts', "import { x } from '../../core/memory/index.ts';", /go through core\/index\.ts/],
    ['but what is a sub-path of the package', 'runtime/demo/a.ts', "import { x } from '../../io/kafka/index.ts';", undefined],
    ['acorn is for the row functions', 'operators/filter.ts', "import { parse } from 'acorn';", /acorn, which is not for operators/],
    ['there it is', 'operators/rows/parse.ts', "import { parse } from 'acorn';", undefined],
    ['operators and io do not meet', 'operators/a.ts', "import { x } from '../io/index.ts';", /operators must not know io/],
    ['nor the other way', 'io/a.ts', "import { x } from '../operators/index.ts';", /io must not know operators/],
    ['kafkajs is for io/kafka', 'io/log/a.ts', "import { Kafka } from 'kafkajs';", /kafkajs, which is not for io/],
    ['there it is', 'io/kafka/a.ts', "import { Kafka } from 'kafkajs';", undefined],
    ['threads are for runtime', 'io/a.ts', "import { Worker } from 'node:worker_threads';", /not for io/],
    ['and the pool', 'io/a.ts', "import { Piscina } from 'piscina';", /not for io/],
    ['runtime may', 'runtime/shared/a.ts', "import { Worker } from 'node:worker_threads';\nAtomics.wait(a, 0, 0);", undefined],
    ['only runtime waits', 'io/a.ts', 'Atomics.waitAsync(a, 0, 0);', /only runtime waits/],
    ['examples use the package by its name', 'examples/a.ts', "import { x } from '../runtime/index.ts';", /examples must not know runtime/],
    ['as here', 'examples/a.ts', "import { x } from 'millrace/io/kafka';", undefined],
    ['operators are synchronous', 'operators/a.ts', 'export async function f() {}', /async: operators runs to completion/],
    ['core too', 'core/a.ts', 'setTimeout(f, 1);', /setTimeout: core runs to completion/],
    ['a property of that name is none', 'operators/rows/a.ts', 'const f = node.async ? { async: 1 } : g;', undefined],
    ['core has no clock', 'core/a.ts', 'const now = Date.now();', /no clock of its own/],
    ['io may be asynchronous', 'io/a.ts', 'export async function f() { await g(); }', undefined],
    [
      'words in comments and texts do not count',
      'core/a.ts',
      "// async\n/* await */ const a = 'await'; const b = `Promise ${1} await`; const c = /async/;",
      undefined,
    ],
    ['code in a template does', 'core/a.ts', 'const a = `${await x}`;', /await/],
    ['a loop that Node cannot strip', 'test/a.ts', 'for (const of of [1]) f(of);', /called of/],
    ['which it can', 'test/a.ts', 'for (const one of of) f(one);', undefined],
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

  const arrowCases: [what: string, path: string, source: string, objection: RegExp | undefined][] = [
    ['an arrow upward', 'core/memory/a.ts', "import { x } from '../batch/index.ts';", /core\/memory must not know core\/batch/],
    ['for types, too', 'core/memory/a.ts', "import type { X } from '../batch/index.ts';", /core\/memory must not know core\/batch/],
    ['an arrow downward that is not on the list', 'core/models/a.ts', "import { x } from '../panes/index.ts';", /core\/models must not know core\/panes/],
    ['an import past a door', 'core/groups/a.ts', "import { x } from '../memory/slab.ts';", /a\.ts:2: imports .*go through core\/memory\/index\.ts/],
    ['by a re-export', 'core/groups/a.ts', "export { x } from '../memory/slab.ts';", /go through core\/memory\/index\.ts/],
    ['through the door', 'core/groups/a.ts', "import { x } from '../memory/index.ts';", undefined],
    ['from deep within', 'core/groups/accumulators/a.ts', "import { x } from '../../memory/slab.ts';", /go through core\/memory\/index\.ts/],
    ['files at the top have no door', 'core/groups/a.ts', "import { x } from '../errors.ts';", undefined],
    ['a file at the top that is a sub-room', 'core/panes/a.ts', "import { x } from '../sliding-window.ts';", /core\/panes must not know core\/sliding-window/],
    [
      'nobody comes in by the door of the room from within',
      'operators/fold/a.ts',
      "import { x } from '../index.ts';",
      /operators\/fold must not know operators\/index/,
    ],
    [
      'operators that know an operator beside',
      'operators/exchange/a.ts',
      "import { x } from '../aggregate/index.ts';",
      /operators\/exchange must not know operators\/aggregate/,
    ],
    ['an engine that knows threads', 'runtime/engine/a.ts', "import { x } from '../workers/index.ts';", /runtime\/engine must not know runtime\/workers/],
    [
      'what knows kafkajs is behind what we do with it',
      'io/kafka/kafkajs/a.ts',
      "import { x } from '../reader.ts';",
      /io\/kafka\/kafkajs must not know io\/kafka$/,
    ],
    ['and has a door', 'io/kafka/a.ts', "import { x } from './kafkajs/connection.ts';", /go through io\/kafka\/kafkajs\/index\.ts/],
    ['io has no other sub-rooms', 'io/json/a.ts', "import { x } from '../csv/row.ts';", undefined],
    ['a folder that nobody named', 'runtime/cluster/a.ts', '', /cluster is no sub-room of runtime/],
  ];
  for (const [what, path, source, objection] of arrowCases) {
    test(`${what} (${path})`, () => {
      const found = arrowObjections(path, `${head}${source}`);
      if (objection === undefined) assert.deepEqual(found, []);
      else assert.match(found.join('\n'), objection);
      assert.deepEqual(
        objectionsTo(path, `${head}${source}`).filter((one) => found.includes(one)),
        found,
      );
    });
  }

  test('circles of files, through types and doors', () => {
    const circle = (files: Record<string, string>) => circlesAmong(new Map(Object.entries(files)));
    assert.deepEqual(circle({ 'core/a.ts': "import { b } from './b.ts';", 'core/b.ts': "import type { A } from './a.ts';" }), [['core/a.ts', 'core/b.ts']]);
    assert.deepEqual(
      circle({
        'core/m/index.ts': "export { a } from './a.ts';",
        'core/m/a.ts': "import { b } from '../n/index.ts';",
        'core/n/index.ts': "export * from './b.ts';",
        'core/n/b.ts': "import { a } from '../m/index.ts';",
      }),
      [['core/m/index.ts', 'core/m/a.ts', 'core/n/index.ts', 'core/n/b.ts']],
    );
    assert.deepEqual(circle({ 'core/kernels/a.ts': 'import { b } from "./b";', 'core/kernels/b.ts': 'export { a } from "./a";' }), [
      ['core/kernels/a.ts', 'core/kernels/b.ts'],
    ]);
    assert.deepEqual(
      circle({ 'core/a.ts': "import { b } from './b.ts'; import { c } from './c.ts';", 'core/b.ts': "import { c } from './c.ts';", 'core/c.ts': '' }),
      [],
    );
  });

  test('what the lists allow has no circle', () => {
    for (const [room, arrows] of ARROWS) {
      arrows.forEach(([subRoom, ...may], at) => {
        const above = arrows.slice(0, at).map(([name]) => name);
        for (const other of may) assert.ok(other === '*' || above.includes(other), `${room}/${subRoom} may import ${other}, which is not above it`);
      });
    }
  });

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
