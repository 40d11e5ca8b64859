/**
 * Every object of options that a user gives is checked: a name that does not exist is refused, with the nearest one that does. The
 * compiler says the same, but not in plain JavaScript.
 */

import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { arrowStream } from '../io/arrow-stream.ts';
import { parquet } from '../io/parquet/format.ts';
import { s3 } from '../io/s3/index.ts';
import { http } from '../io/webhook/index.ts';
import * as millrace from '../runtime/index.ts';
import { moduleUrl } from '../runtime/job/run.ts';
import { simulate, testDriver } from '../runtime/testing.ts';

const { f64, timestamp, utf8, json, memory, pipeline } = millrace;
const rows = [{ page: '/a', ms: 1, at: 0 }];
const columns = { page: utf8, ms: f64, at: timestamp };
const stream = () =>
  pipeline('p')
    .from(memory(rows, { schema: columns }))
    .withWatermark('at', 0);
const keyed = () => stream().keyBy('page');
const windowed = () => keyed().window(millrace.tumbling('1m'));
const driver = () => testDriver(stream().to(millrace.collect()));
const onRow = () => {};

/** A call with options, by what it calls itself; besides the options under test it has all that it needs. */
// biome-ignore lint/suspicious/noExplicitAny: options as plain JavaScript gives them
const CALLS: Readonly<Record<string, (options: any) => unknown>> = {
  'run()': (options) => millrace.run('nowhere.ts', options),
  checkpoint: (options) => millrace.run('nowhere.ts', { checkpoint: { dir: 'x', ...options } }),
  'checkpoint.allow': (options) => millrace.run('nowhere.ts', { checkpoint: { dir: 'x', allow: options } }),
  metrics: (options) => millrace.run('nowhere.ts', { metrics: { port: 0, ...options } }),
  dashboard: (options) => millrace.run('nowhere.ts', { dashboard: { port: 0, ...options } }),
  'metrics.ready': (options) => millrace.run('nowhere.ts', { metrics: { port: 0, ready: options } }),
  'share()': (options) => millrace.share('nowhere.ts', { checkpoint: { dir: 'x' }, ...options }),
  'lineLogger()': (options) => millrace.lineLogger(options),
  restarts: (options) => millrace.run('nowhere.ts', { restarts: { times: 1, ...options } }),
  badRows: (options) => millrace.run('nowhere.ts', { badRows: { fail: { above: 0.1 }, ...options } }),
  'badRows.fail': (options) => millrace.run('nowhere.ts', { badRows: { fail: { above: 0.1, ...options } } }),
  'testDriver()': (options) => testDriver(stream().to(millrace.collect()), options),
  'simulate()': (options) => simulate(stream().to(millrace.collect()), { input: rows, runs: 1, ...options }),
  'simulate() faults': (options) => simulate(stream().to(millrace.collect()), { input: rows, runs: 1, faults: options }),
  'simulate() checkpoints': (options) => simulate(stream().to(millrace.collect()), { input: rows, runs: 1, checkpoints: options }),
  'send()': (options) => driver().send(rows, options),
  'sendRaw()': (options) => {
    const source = millrace.files.source({ path: 'x', value: json(columns) });
    testDriver(pipeline('p').from(source).to(millrace.collect())).sendRaw(source, null, options);
  },
  'withWatermark()': (options) => stream().withWatermark('at', 0, options),
  'tumbling()': (options) => millrace.tumbling('1m', options),
  'sliding()': (options) => millrace.sliding('1m', '1s', options),
  'cumulative()': (options) => millrace.cumulative('1m', '1s', options),
  'countWindow()': (options) => millrace.countWindow(5, options),
  'globalWindow()': (options) => millrace.globalWindow(options),
  'session()': (options) => millrace.session('1m', options),
  'join()': (options) => {
    const left = keyed();
    return left.join(left, { within: [0, 1], ...options });
  },
  'withEventTime()': (options) => stream().withEventTime('at', options),
  'process() of two streams': (options) => {
    const left = keyed();
    return left.connect(left).process({ schema: columns, onLeft: onRow, onRight: onRow, ...options });
  },
  'process() beside a table': (options) => {
    const left = keyed();
    return left.connect(millrace.broadcast(left)).process({ schema: columns, onRow, ...options });
  },
  'process()': (options) => keyed().process({ schema: columns, onRow, ...options }),
  'reduce()': (options) => keyed().reduce((a) => a, options),
  'table()': (options) => keyed().table(options),
  'reduce() of a table': (options) =>
    keyed()
      .count()
      .groupBy('count')
      .reduce((a) => a, options),
  'join() of two tables': (options) => {
    const left = keyed().table();
    return left.groupBy('page').join(left.groupBy('page'), options);
  },
  collect: (options) => millrace.collect(options),
  'reduce() in a window': (options) => windowed().reduce((a) => a, options),
  'top()': (options) => keyed().top(3, { by: 'ms', ...options }),
  'over()': (options) => keyed().over({ rows: millrace.count({ rows: 3 }) }, options),
  'arrowStream()': (options) => arrowStream(options as never),
  'parquet()': (options) => parquet(options),
  's3.sink: credentials': (credentials) => s3.sink({ bucket: 'abc', path: 'b', region: 'c', value: millrace.json(), credentials } as never),
  'http.source': (options) => http.source({ port: 0, dir: 'd', value: millrace.json({ a: millrace.utf8 }), ...options } as never),
  'enrich()': (options) => stream().enrich({ more: millrace.f64 }, async () => ({ more: 1 }), options),
  'enrich(): cache': (cache) => stream().enrich({ more: millrace.f64 }, async () => ({ more: 1 }), { cache } as never),
  'sample()': (options) => stream().sample(0.5, options),
  'dropDuplicates()': (options) => keyed().dropDuplicates(options),
  'print()': (options) => stream().print(options),
  forEachBatch: (options) => stream().forEachBatch(() => {}, options),
  'variance()': (options) => millrace.variance('ms', options),
  'stddev()': (options) => millrace.stddev('ms', options),
  'first()': (options) => millrace.first('ms', options),
  'last()': (options) => millrace.last('ms', options),
  'collect()': (options) => millrace.collect('ms', options),
  'approxCountDistinct()': (options) => millrace.approxCountDistinct('ms', options),
  'linearCount()': (options) => millrace.linearCount('ms', options),
  'quantile()': (options) => millrace.quantile('ms', 0.5, options),
  'topK()': (options) => millrace.topK('ms', 3, options),
  'ewma()': (options) => millrace.ewma('ms', { halfLife: '1s', ...options }),
  generator: (options) => millrace.generator({ rows: 1, seed: 1, schema: columns, row: () => rows[0] as never, ...options }),
  memory: (options) => memory(rows, options),
  iterable: (options) => millrace.iterable(rows, { schema: columns, ...options }),
  stdout: (options) => millrace.stdout(options),
  'log.source': (options) => millrace.log.source({ dir: 'x', topic: 't', value: json(columns), ...options }),
  'log.sink': (options) => millrace.log.sink({ dir: 'x', topic: 't', value: json(), ...options }),
  'files.source': (options) => millrace.files.source({ path: 'x', value: json(columns), ...options }),
  'files.sink': (options) => millrace.files.sink({ dir: 'x', value: json(), ...options }),
  'csv()': (options) => millrace.csv(columns, options),
  'arrow()': (options) => millrace.arrow(columns, options),
  'json()': (options) => (json as (fields: unknown, options: unknown) => unknown)(columns, options),
  'avro()': (options) => millrace.avro({ type: 'record', name: 'R', fields: [{ name: 'page', type: 'string' }] }, options),
  'debezium()': (options) => millrace.debezium(columns, options),
  'protobuf()': (options) => millrace.protobuf('syntax = "proto3"; message M { int32 a = 1; }', options),
  'registry()': (options) => millrace.registry({ url: 'http://127.0.0.1:8081', ...options }),
  'text()': (options) => millrace.text(options),
  'raw()': (options) => millrace.raw(options),
};
/** Called on what a job gives: test/runtime/silence.test.ts and view.test.ts. */
const OF_JOBS = ['stop()', 'top() of a view', 'rows() of a view'];

async function refusal(call: (options: object) => unknown, options: object): Promise<string> {
  const error: unknown = await (async () => call(options))().then(
    () => assert.fail(`taken: ${JSON.stringify(Object.keys(options))}`),
    (reason) => reason,
  );
  assert.ok(error instanceof millrace.MillraceError, String(error));
  assert.equal(error.code, 'ERR_MILLRACE_OPTION', error.message);
  return error.message;
}

test('an option that does not exist is refused, wherever options are given', async () => {
  for (const [what, call] of Object.entries(CALLS)) {
    const message = await refusal(call, { qqqqqqqqqqqqqqqqqq: 1 });
    assert.ok(message.startsWith(`${what}: there is no option "qqqqqqqqqqqqqqqqqq". `), message);
    const names = /The options are: (.*)\.$/.exec(message)?.[1]?.split(', ');
    if (names === undefined) assert.match(message, /It takes none\.$/);
    // Each by a slip of the finger, and with undefined, which is as misspelt.
    for (const name of names ?? []) {
      assert.match(await refusal(call, { [`${name}z`]: undefined }), new RegExp(`there is no option "${name}z"\\. Did you mean ${name}\\?$`));
    }
  }
});

test('what people have written', async () => {
  const cases: readonly [string, object, RegExp][] = [
    ['run()', { worker: 3 }, /"worker"\. Did you mean workers\?/],
    ['log.source', { topics: ['a'] }, /"topics"\. Did you mean topic\?/],
    ['log.sink', { keys: 'page' }, /"keys"\. Did you mean key\?/],
    ['files.source', { pattern: '*.json' }, /"pattern"\./],
    ['files.sink', { compression: 'gzip' }, /"compression"\./],
    ['csv()', { headers: true }, /"headers"\. Did you mean header\?/],
    ['run()', { drainTimeOut: '1s' }, /"drainTimeOut"\. Did you mean drainTimeout\?/],
  ];
  for (const [what, options, message] of cases) assert.match(await refusal(CALLS[what] as (options: object) => unknown, options), message);
});

test('no check of options is left out here', async () => {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const seen = new Set<string>();
  for (const room of ['core', 'io', 'operators', 'runtime']) {
    for (const file of await readdir(join(root, room), { recursive: true })) {
      // Kafka's options are tested with its source and sink.
      if (!file.endsWith('.ts') || file.startsWith('kafka')) continue;
      for (const [, what] of (await readFile(join(root, room, file), 'utf8')).matchAll(/checkOptionNames\('([^']+)'/g)) seen.add(what as string);
    }
  }
  assert.deepEqual([...seen].sort(), [...Object.keys(CALLS), ...OF_JOBS].sort());
});

test('messages say what to write', async () => {
  // biome-ignore lint/suspicious/noExplicitAny: calls that the compiler refuses
  const wrong = (): any => stream();
  const cases: readonly [() => unknown, string, RegExp][] = [
    [() => wrong().map((r: unknown) => r), 'PIPELINE', /^map\(\) takes the columns of the new rows first, and then the function: map\(\{ page: utf8/],
    [() => wrong().flatMap((r: unknown) => [r]), 'PIPELINE', /^flatMap\(\) takes the columns of the new rows first/],
    [() => wrong().mapBatches(() => {}), 'PIPELINE', /^mapBatches\(\) takes the columns of the new rows first/],
    [() => wrong().keyBy((r: { page: string }) => r.page), 'PIPELINE', /^keyBy\(\) takes the columns first, and then the function: keyBy\(\{ host: utf8 \}/],
    [
      () => wrong().window(millrace.tumbling('1m')),
      'PIPELINE',
      /^window\(\) is called on a stream without keys\. Call keyBy\('column'\)\.window\(.*windowAll\(/,
    ],
    [() => wrong().process({}), 'PIPELINE', /^process\(\) is called on a stream without keys\. Call keyBy\('column'\)\.process\(\.\.\.\) first/],
    [() => wrong().join(wrong()), 'PIPELINE', /^join\(\) is called on a stream without keys/],
    [() => wrong().connect(wrong()), 'PIPELINE', /^connect\(\) is called on a stream without keys.*With broadcast\(\.\.\.\), too:.*\.keyBy\(\{ part: u32 \}/],
    [
      () => millrace.log.source({ dir: 'x', topic: 't', value: { page: utf8 } as never }),
      'OPTION',
      /^log\.source: value is the schema \{"page":"utf8"\}.*json\(\{/,
    ],
    [() => millrace.log.sink({ dir: 'x', topic: 't', value: { page: utf8 } as never }), 'OPTION', /^log\.sink: value is the schema .*json\(\{/],
    [() => millrace.files.source({ path: 'x', value: { page: utf8 } as never }), 'OPTION', /^files\.source: value is the schema .*json\(\{/],
    [() => millrace.files.sink({ dir: 'x', value: 'json' as never }), 'OPTION', /^files\.sink: value is "json"\. Give a codec/],
    [() => moduleUrl(stream().to(millrace.collect()) as never), 'MODULE', /^run\(\) got a pipeline itself\. It takes the module that exports the pipeline/],
    [() => millrace.run(stream().to(millrace.collect()) as never), 'MODULE', /every worker thread imports it/],
    [() => millrace.run('x.ts', { trigger: 'availablenow' as never }), 'OPTION', /^trigger is "availablenow"\. Did you mean 'availableNow'\?/],
    [() => millrace.run('x.ts', { params: { day: 1, of: () => 1 } }), 'OPTION', /^params has function of in "of", which cannot be sent to a worker thread/],
    [() => millrace.run('x.ts', { params: 'day=1' as never }), 'OPTION', /^params is "day=1"\. Give an object/],
    [() => millrace.run('x.ts', { failedRows: 'drop' as never }), 'OPTION', /^failedRows is "drop"\. Give 'fail'/],
    [() => millrace.run('x.ts', { memory: { atLimit: 'disk' as never } }), 'OPTION', /^memory\.atLimit is "disk"\. Give 'fail'.*'pause'.*or 'spill'/],
    [() => millrace.run('x.ts', { memory: { limit: '1MiB' } }), 'OPTION', /^memory is "1MiB"\. Give at least/],
    [() => millrace.run('x.ts', { badRows: 'drop' as never }), 'OPTION', /^badRows is "drop"\. Give 'ledger'/],
    [() => millrace.run('x.ts', { badRows: { fail: { above: 2 } } }), 'OPTION', /^badRows is /],
    [() => millrace.main(import.meta.url, millrace.run('x.ts', { worker: 1 } as never).catch(() => {}) as never), 'OPTION', /^main\(\) got /],
  ];
  for (const [call, code, message] of cases) {
    const error: unknown = await (async () => call())().then(
      () => assert.fail(`${message}: nothing was thrown`),
      (reason) => reason,
    );
    assert.ok(error instanceof millrace.MillraceError, `${message}: ${error}`);
    assert.equal(error.code, `ERR_MILLRACE_${code}`, error.message);
    assert.match(error.message, message);
  }
});
