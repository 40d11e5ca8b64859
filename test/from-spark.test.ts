/**
 * The advice of examples/FROM-SPARK.md, run: every call of its tables that gives rows, and every pipeline that goes on from its first module,
 * over the same few rows, against what Spark gives for them. A call without expected rows fails: advice is not only compiled.
 */

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { kafka } from '../io/kafka/index.ts';
import * as millrace from '../runtime/index.ts';
import { testDriver } from '../runtime/testing.ts';
import { EXPECTED_CALLS, EXPECTED_SNIPPETS, type ExpectedRows } from './from-spark-expected.ts';
import { packageRoot } from './packed-package.ts';
import { cellsOf, snippetsOf } from './readme-snippets.ts';

const text = readFileSync(join(packageRoot, 'examples/FROM-SPARK.md'), 'utf8');
const { collect, f64, memory, pipeline, timestamp, utf8 } = millrace;

const INPUT = {
  users: [
    { id: 'ann', country: 'AT' },
    { id: 'dan', country: 'DK' },
  ],
  views: [
    { user: 'ann', ad: 'x', at: 900 },
    { user: 'ann', ad: 'y', at: 3_000 },
    { user: 'eve', ad: 'z', at: 4_000 },
  ],
  clicks: [
    { user: 'ann', page: '/a/x', ms: 100, at: 1_000 },
    { user: 'bob', page: '/b', ms: 0, at: 2_500 },
    { user: 'ann', page: '/b', ms: 300, at: 12_000 },
    { user: 'ann', page: '/a/x', ms: 50, at: 61_000 },
  ],
} as const;

/** The module that the guide goes on from. */
function streams() {
  const spark = pipeline('from-spark');
  const sources = {
    users: memory([], { schema: { id: utf8, country: utf8 } }),
    views: memory([], { schema: { user: utf8, ad: utf8, at: timestamp } }),
    clicks: memory([], { schema: { user: utf8, page: utf8, ms: f64, at: timestamp } }),
  };
  return {
    sources,
    users: spark.from(sources.users),
    views: spark.from(sources.views).withWatermark('at', '10s'),
    clicks: spark.from(sources.clicks).withWatermark('at', '10s'),
  };
}
type Streams = ReturnType<typeof streams>;

const cells = cellsOf(text, 'millrace').map(({ code }) => code);
/** What begins with a dot goes on from `clicks`. */
const calls = [...new Set(cells.filter((code) => /^\.\w+\(/.test(code)))];
const AGGREGATES =
  'count sum mean min max variance stddev first last collect countDistinct approxCountDistinct median quantile topK aggregator ewma rate linearCount';
const WINDOWS = 'tumbling sliding session cumulative countWindow globalWindow';
const made = (names: string) => [...new Set(cells.filter((code) => names.split(' ').includes(/^(\w+)\(/.exec(code)?.[1] ?? '')))];
const snippets = snippetsOf(text).filter((snippet) => snippet.after === 'stream.ts');

/** The code of the guide as functions of what it names, by the code; made as one module, which is TypeScript. */
let functions: Readonly<Record<string, (scope: object) => unknown>>;
let folder = '';
before(async () => {
  const names = [...Object.keys(millrace), 'kafka', 'send', 'clicks', 'views', 'users'].filter((name) => name !== 'default');
  const entry = (key: string, body: string) => `${JSON.stringify(key)}: ({ ${names.join(', ')} }: any) => {\n${body}\n},`;
  const entries = [
    ...calls.map((code) => entry(code, `return clicks${code};`)),
    ...[...made(AGGREGATES), ...made(WINDOWS)].map((code) => entry(code, `return ${code};`)),
    ...snippets.map(({ line, source }) => entry(`line ${line}`, source.replace(/^import .*$/gm, ''))),
  ];
  folder = mkdtempSync(join(tmpdir(), 'millrace-from-spark-'));
  const path = join(folder, 'guide.mts');
  writeFileSync(path, `export default {\n${entries.join('\n')}\n};\n`);
  functions = (await import(pathToFileURL(path).href)).default;
});
after(() => rmSync(folder, { recursive: true, force: true }));

function evaluated(code: string, names: object): unknown {
  return functions[code]?.({ ...millrace, kafka, send: () => {}, ...names });
}

/** What the first sink of a pipeline gets of the input in one epoch, and of its end. Of sources that it does not read nothing is sent. */
function outcome({ clicks, sources }: Streams): readonly string[] {
  const driver = testDriver(clicks, { partitions: 1 });
  for (const name of ['users', 'views', 'clicks'] as const) {
    try {
      driver.send(sources[name], INPUT[name]);
    } catch (error) {
      assert.match(String(error), /there are/);
    }
  }
  driver.endEpoch();
  driver.close();
  return driver.output(0).map((row) => JSON.stringify(row));
}

function same(actual: readonly string[], expected: ExpectedRows | undefined, code: string): void {
  const sorted = [...actual].sort();
  assert.ok(expected !== undefined, `no rows are expected of this advice: ${code}`);
  assert.deepEqual(sorted, expected.map((row) => JSON.stringify(row)).sort(), code);
}
function isStream(value: unknown): value is millrace.Stream<unknown> {
  return typeof (value as { to?: unknown }).to === 'function';
}

test('every call of the tables that gives rows gives those of Spark', () => {
  for (const code of calls) {
    const all = streams();
    const result = evaluated(code, all);
    // A window by itself is no stream yet.
    const stream = (isStream(result) ? result : (result as millrace.WindowedStream<unknown, unknown>).count()) as millrace.Stream<unknown>;
    if (!/\.(to|print|forEachBatch)\(/.test(code)) stream.to(collect());
    same(outcome(all), EXPECTED_CALLS[code], code);
  }
});

test('every aggregate of the tables gives what its counterpart in Spark does', () => {
  for (const code of made(AGGREGATES)) {
    const all = streams();
    const keyed = all.clicks.keyBy('user');
    const aggregates = { value: evaluated(code, {}) } as never;
    // A rate is by the length of a window.
    if (code.startsWith('rate')) keyed.window(millrace.tumbling('2m')).aggregate(aggregates).to(collect());
    else keyed.aggregate(aggregates).to(collect());
    same(outcome(all), EXPECTED_CALLS[code], code);
  }
});

test('every window of the tables counts what its counterpart in Spark does', () => {
  for (const code of made(WINDOWS)) {
    const all = streams();
    all.clicks
      .keyBy('user')
      .window(evaluated(code, {}) as millrace.WindowSpec)
      .count()
      .to(collect());
    same(outcome(all), EXPECTED_CALLS[code], code);
  }
});

test('every pipeline that goes on from the first module gives the rows of Spark', () => {
  assert.deepEqual(
    Object.keys(EXPECTED_CALLS).filter((code) => functions[code] === undefined),
    [],
    'rows are expected of what the guide does not have',
  );
  assert.equal(snippets.length, EXPECTED_SNIPPETS.length);
  snippets.forEach(({ line }, index) => {
    const all = streams();
    evaluated(`line ${line}`, all);
    same(outcome(all), EXPECTED_SNIPPETS[index]?.rows, `the snippet of line ${line}: ${EXPECTED_SNIPPETS[index]?.about}`);
  });
});
