/**
 * The snippets of README.md, docs/OPERATIONS.md and examples/FROM-SPARK.md: each ```ts block is compiled under strict TypeScript, and run, against the package as it
 * would be published, in a folder with nothing else. ```ts compile-only marks one that needs a broker; ```ts file=NAME.ts
 * one that others import by that name, ```ts after=NAME.ts one that goes on from such a one. Calls in the tables of FROM-SPARK.md
 * are compiled, too.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import * as millrace from '../runtime/index.ts';
import { installPacked, packageRoot } from './packed-package.ts';
import { type Cell, cellsOf, importOf, type Snippet, snippetsOf } from './readme-snippets.ts';

const RUN_TIMEOUT_MS = 120_000;

interface Document {
  readonly path: string;
  readonly snippets: readonly Snippet[];
  readonly cells: readonly Cell[];
}

const documents = ['README.md', 'examples/FROM-SPARK.md', 'docs/OPERATIONS.md'].map((path): Document => {
  const text = existsSync(join(packageRoot, path)) ? readFileSync(join(packageRoot, path), 'utf8') : '';
  return { path, snippets: snippetsOf(text), cells: cellsOf(text, 'millrace') };
});

/** What the code of tables may name besides what is exported: a program would have it. */
const CELL_NAMES = `
import { kafka } from 'millrace/io/kafka';
import { testDriver } from 'millrace/testing';
import * as millrace from 'millrace';
import type { Job, RunOptions } from 'millrace';
declare const job: Job, driver: ReturnType<typeof testDriver>, module: URL, options: RunOptions, rows: { page: string }[], time: number, ms: number, show: () => void;
const keyed = clicks.keyBy('user');
declare const ctx: Parameters<Parameters<typeof keyed.process>[0]['onRow']>[1];
const send = (..._: unknown[]): void => {};
async function* lines() { yield { line: '' }; }
void [kafka, send, lines, millrace];
`;

/**
 * The code of tables as a module. What begins with a dot goes behind `clicks` and is run; other calls, and the trigger of a run, are
 * compiled only; names alone are left.
 */
function moduleOfCells(base: Snippet, cells: readonly Cell[]): string {
  const chains = cells.filter(({ code }) => /^\.\w+\(/.test(code));
  const calls = cells.filter(({ code }) => /^[^.].*\(/.test(code) && !code.startsWith('npx '));
  const triggers = cells.filter(({ code }) => code.startsWith('trigger:'));
  const names = new Set([...chains, ...calls].flatMap(({ code }) => code.match(/\b\w+(?=\()/g) ?? []).concat('utf8', 'f64', 'timestamp', 'files', 'log'));
  const exported = [...names].filter((name) => name in millrace);
  return [
    importOf(base),
    CELL_NAMES,
    `import { ${exported.join(', ')} } from 'millrace';`,
    ...chains.map(({ line, code }) => `void clicks${code}; // line ${line}`),
    'void (async () => {',
    ...calls.map(({ line, code }) => `  ${code}; // line ${line}`),
    ...triggers.map(({ line, code }) => `  ({ ${code} }) satisfies RunOptions; // line ${line}`),
    '});',
  ].join('\n');
}

let installed = '';

before(() => {
  assert.ok(existsSync(join(packageRoot, 'dist/runtime/index.js')), 'dist is not there: npm run build');
  installed = mkdtempSync(join(tmpdir(), 'millrace-readme-'));
  installPacked(installed, ['typescript', '@types/node']);
  writeFileSync(join(installed, 'package.json'), '{"type":"module","private":true}');
});
after(() => {
  if (installed !== '') rmSync(installed, { recursive: true, force: true });
});

for (const { path, snippets, cells } of documents) {
  describe(path, () => {
    let folder = '';
    const files = snippets.map((snippet) => snippet.file);
    const continued = snippets.filter((snippet) => snippet.after !== undefined && !snippet.compileOnly);
    const [base] = continued.map((snippet) => snippets.find(({ file }) => file === snippet.after) as Snippet);

    before(() => {
      folder = join(installed, path.replace(/\W/g, '-').toLowerCase());
      mkdirSync(folder);
      for (const snippet of snippets) writeFileSync(join(folder, snippet.file), snippet.source);
      if (base === undefined) return;
      writeFileSync(join(folder, 'cells.ts'), moduleOfCells(base, cells));
      // One process for all that goes on from a snippet: the pipelines are built, and what they come to is planned.
      const imports = [...continued.map(({ file }) => file), 'cells.ts'].map((file) => `import './${file}';\n`);
      const plan = `${importOf(base)}import { testDriver } from 'millrace/testing';\ntestDriver(clicks).close();\n`;
      writeFileSync(join(folder, 'continued.ts'), imports.join('') + plan);
      files.push('cells.ts', 'continued.ts');
    });

    const run = (file: string) => {
      const { status, signal, stdout, stderr } = spawnSync(process.execPath, ['--import', tsxOf(installed), file], {
        cwd: folder,
        encoding: 'utf8',
        timeout: RUN_TIMEOUT_MS,
      });
      assert.equal(status, 0, `${file} ended with ${signal ?? status}\n${stdout}\n${stderr}`);
    };

    test('has snippets, and one that runs', () => {
      assert.ok(snippets.length > 0, `${path} has no \`\`\`ts snippet`);
      assert.ok(
        snippets.some((snippet) => !snippet.compileOnly),
        'every snippet is compile-only',
      );
      assert.equal(new Set(snippets.map((snippet) => snippet.file)).size, snippets.length, 'two snippets have one file name');
    });

    test('every snippet compiles under strict TypeScript', () => {
      const flags = ['strict', 'noEmit', 'noUncheckedIndexedAccess', 'exactOptionalPropertyTypes', 'verbatimModuleSyntax', 'allowImportingTsExtensions'].map(
        (flag) => `--${flag}`,
      );
      const tsc = join(packageRoot, 'node_modules/typescript/bin/tsc');
      // skipLibCheck is off: the package's own declarations are checked with them.
      const args = [tsc, '--ignoreConfig', ...flags, '--target', 'es2023', '--module', 'nodenext', '--types', 'node', ...files];
      const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
      assert.equal(status, 0, `${stdout}${stderr}`);
    });

    for (const snippet of snippets) {
      if (!snippet.compileOnly && snippet.after === undefined) test(`${snippet.file} (line ${snippet.line}) runs`, () => run(snippet.file));
    }

    if (base !== undefined) test(`what goes on from ${base.file}, in snippets and tables, is built and planned`, () => run('continued.ts'));
  });
}

function tsxOf(folder: string): string {
  return new URL(`file://${join(folder, 'node_modules/tsx/dist/loader.mjs')}`).href;
}

describe('snippets of a README', () => {
  test('are found with their file, line and mark', () => {
    const text = 'a\n```ts\nconst a = 1;\n```\n```js\nno\n```\n~~~ts\nno\n~~~\n```ts compile-only\nb\n```\n  ```ts file=clicks.ts\n  c\n    d\n  ```\n';
    assert.deepEqual(snippetsOf(text), [
      { file: 'snippet-1.ts', line: 2, compileOnly: false, after: undefined, source: 'const a = 1;\n' },
      { file: 'snippet-2.ts', line: 11, compileOnly: true, after: undefined, source: 'b\n' },
      { file: 'clicks.ts', line: 14, compileOnly: false, after: undefined, source: 'c\n  d\n' },
    ]);
    const [first, second] = snippetsOf('```ts file=base.ts\nexport const a = 1;\nconst b = 2;\n```\n```ts after=base.ts\nvoid a;\n```\n');
    assert.equal(first?.after, undefined);
    assert.deepEqual([second?.after, second?.source], ['base.ts', "import { a } from './base.ts';\nvoid a;\n"]);
    assert.throws(() => snippetsOf('```ts after=base.ts\n```\n'), /line 1 goes on from base\.ts/);
    assert.deepEqual(snippetsOf('no code\n'), []);
    assert.throws(() => snippetsOf('```ts\nopen'), /line 1/);
    assert.throws(() => snippetsOf('```ts file=../x.ts\n```\n'), /file name/);
    assert.throws(() => snippetsOf('```ts compileonly\n```\n'), /compileonly/);
  });

  test('code in the last column of a table', () => {
    const text = '| Spark | millrace |\n|---|---|\n| `map(f)` | `.map(f)`: or `a.b()` |\n| x | none |\n\n| Spark | other |\n|---|---|\n| x | `no()` |\n';
    assert.deepEqual(cellsOf(text, 'millrace'), [
      { line: 3, code: '.map(f)' },
      { line: 3, code: 'a.b()' },
    ]);
  });
});
