/** elasticsearch.sink against real servers: Elasticsearch and OpenSearch. */

import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { i32, i64, timestamp, utf8 } from '../../core/index.ts';
import { elasticsearch } from '../../io/elasticsearch/index.ts';
import { sinkConformance } from '../../runtime/testing.ts';
import { throughOutages, type WindowRow } from '../runtime/server-outage.ts';
import { openServer } from '../servers.ts';
import { EVERY_TYPE, oddRows, writeRefused, writeRows } from './sink-rows.ts';

type Kind = 'elasticsearch' | 'opensearch';

let indices = 0;
const nextIndex = () => `test-${process.pid}-${indices++}`;

async function ask(url: string, method = 'GET', body?: object): Promise<{ status: number; body: Record<string, never> }> {
  const answer = await fetch(url, { method, ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }) });
  return { status: answer.status, body: (await answer.json()) as Record<string, never> };
}

interface Hit {
  readonly _id: string;
  readonly _index: string;
  readonly _source: Record<string, unknown>;
}

/** All documents of an index, by id. */
async function documents(url: string, index: string): Promise<Hit[]> {
  await ask(`${url}/${index}/_refresh`, 'POST');
  const hits: Hit[] = [];
  for (let after: unknown; ; ) {
    const { body } = await ask(`${url}/${index}/_search`, 'POST', {
      size: 5_000,
      sort: [{ _doc: 'asc' }],
      ...(after === undefined ? {} : { search_after: after }),
    });
    const page = (body['hits'] as unknown as { hits: (Hit & { sort: unknown })[] } | undefined)?.hits ?? [];
    hits.push(...page);
    if (page.length < 5_000) return hits;
    after = page.at(-1)?.sort;
  }
}

const ROWS = oddRows({ id: `high " \\ \n \u0000 🐟 ${'ü'.repeat(100)}` });

for (const kind of ['elasticsearch', 'opensearch'] as const satisfies readonly Kind[]) {
  describe(kind, () => {
    const open = async (t: TestContext) => (await openServer(t, kind))?.url;

    test('all types, extremes, nulls and odd text, in a mapping of the columns', async (t) => {
      const url = await open(t);
      if (url === undefined) return;
      const index = nextIndex();
      await writeRows(elasticsearch.sink({ url, index, id: 'id', createIndex: true }), EVERY_TYPE, ROWS, { units: 3 });
      const found = await documents(url, index);
      const expected = ROWS.map((row) => [
        row.id,
        JSON.parse(
          JSON.stringify(row, (_, value) =>
            typeof value === 'bigint' ? Number(value) : value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value,
          ),
        ),
      ]);
      assert.deepEqual(Object.fromEntries(found.map((hit) => [hit._id, hit._source])), Object.fromEntries(expected));
      const { body } = await ask(`${url}/${index}/_mapping`);
      assert.deepEqual((body[index] as unknown as { mappings: { properties: Record<string, { type: string }> } }).mappings.properties['text'], {
        type: 'keyword',
      });
    });

    test('rows that come again replace themselves; create leaves what is there; update sets columns; a version is not undercut', async (t) => {
      const url = await open(t);
      if (url === undefined) return;
      const fields = { id: utf8, n: i32 };
      const index = nextIndex();
      const write = (options: object, n: number, more: object = {}) =>
        writeRows(elasticsearch.sink({ url, index, id: 'id', ...options }), { ...fields, ...(more as object) } as typeof fields, [{ id: 'a', n }]);
      const stored = async () => (await documents(url, index)).map((hit) => hit._source);
      await write({}, 1);
      await write({}, 2);
      assert.deepEqual(await stored(), [{ id: 'a', n: 2 }]);
      await write({ operation: 'create' }, 3);
      assert.deepEqual(await stored(), [{ id: 'a', n: 2 }]);
      await writeRows(elasticsearch.sink({ url, index, id: 'id', operation: 'update' }), { id: utf8, other: i32 }, [
        { id: 'a', other: 7 },
        { id: 'b', other: 8 },
      ]);
      assert.deepEqual(await stored(), [
        { id: 'a', n: 2, other: 7 },
        { id: 'b', other: 8 },
      ]);
      const versions = nextIndex();
      for (const version of [5, 3, 5, 6, 4]) {
        await writeRows(elasticsearch.sink({ url, index: versions, id: 'id', version: 'v' }), { id: utf8, v: i64 }, [{ id: 'a', v: BigInt(version) }]);
      }
      assert.deepEqual(
        (await documents(url, versions)).map((hit) => hit._source),
        [{ id: 'a', v: 6 }],
      );
    });

    test('an index by the time of the row, ids of several columns, and documents without an id', async (t) => {
      const url = await open(t);
      if (url === undefined) return;
      const base = nextIndex();
      const day = 86_400_000;
      const sink = elasticsearch.sink({ url, index: `${base}-{yyyy.MM.dd}`, indexTime: 'at', id: ['page', 'at'] });
      await writeRows(sink, { page: utf8, at: timestamp }, [
        { page: 'a', at: 0 },
        { page: 'a', at: day - 1 },
        { page: 'b', at: day },
      ]);
      assert.deepEqual((await documents(url, `${base}-*`)).map((hit) => `${hit._index} ${hit._id}`).sort(), [
        `${base}-1970.01.01 ["a",0]`,
        `${base}-1970.01.01 ["a",${day - 1}]`,
        `${base}-1970.01.02 ["b",${day}]`,
      ]);
      const own = nextIndex();
      for (let i = 0; i < 2; i++) await writeRows(elasticsearch.sink({ url, index: own }), { page: utf8 }, [{ page: 'a' }]);
      assert.equal((await documents(url, own)).length, 2, 'at-least-once');
    });

    test('what the mapping refuses is in the ledger with the words of the server, and its neighbours are stored', async (t) => {
      const url = await open(t);
      if (url === undefined) return;
      const index = nextIndex();
      await ask(`${url}/${index}`, 'PUT', { mappings: { properties: { id: { type: 'keyword' }, n: { type: 'integer' } } } });
      const refused = await writeRefused(elasticsearch.sink({ url, index, id: 'id' }), { id: utf8, n: utf8 }, [
        { id: 'a', n: '1' },
        { id: 'b', n: 'many' },
        { id: 'c'.repeat(600), n: '3' },
        { id: 'd', n: '4' },
      ]);
      assert.deepEqual((await documents(url, index)).map((hit) => hit._id).sort(), ['a', 'd']);
      assert.equal(refused.length, 2);
      assert.match(refused.find((words) => words.includes('many')) ?? '', /_parsing_exception: .*\[n\].*many.* The row: \{"index":\{"_id":"b"\}\}/s);
      await assert.rejects(writeRows(elasticsearch.sink({ url, index, id: 'id', refused: 'fail' }), { id: utf8, n: utf8 }, [{ id: 'b', n: 'many' }]), {
        code: 'ERR_MILLRACE_SINK',
        message: /_parsing_exception/,
      });
    });

    test('a place that cannot be written to ends the job with what the server says', async (t) => {
      const url = await open(t);
      if (url === undefined) return;
      const index = nextIndex();
      await ask(`${url}/${index}`, 'PUT');
      await ask(`${url}/${index}/_close`, 'POST');
      await assert.rejects(writeRows(elasticsearch.sink({ url, index }), { id: utf8 }, [{ id: 'a' }]), {
        code: 'ERR_MILLRACE_SINK',
        message: /index_closed_exception/,
      });
      const away = elasticsearch.sink({ url: 'http://127.0.0.1:9', index: 'x', deliveryTimeout: 300 });
      await assert.rejects(writeRows(away, { id: utf8 }, [{ id: 'a' }]), {
        code: 'ERR_MILLRACE_SINK',
        message: /elasticsearch x at http:\/\/127.0.0.1:9: .*ECONNREFUSED.*It was tried for 300 ms/,
      });
    });

    test('holds what an idempotent sink promises', async (t) => {
      const url = await open(t);
      if (url === undefined) return;
      const base = nextIndex();
      const report = await sinkConformance((place) => elasticsearch.sink({ url, index: `${base}-${place}`, id: ['unit', 'seq'] }), {
        read: async (place) => (await documents(url, `${base}-${place}`)).map((hit) => hit._source as never),
        isOrdered: false,
        schedules: 3,
      });
      assert.equal(report.delivery, 'idempotent');
    });

    test('the server is killed in the middle and comes back: nothing lost, nothing doubled', { timeout: 600_000 }, async (t) => {
      const server = await openServer(t, kind);
      if (server === undefined) return;
      const { url } = server;
      const index = nextIndex();
      await ask(`${url}/${index}`, 'PUT', { settings: { number_of_replicas: 0 } });
      await throughOutages(t, {
        sink: 'elasticsearch',
        options: { url, index, id: ['key', 'windowStart'] },
        server,
        guarantee: 'exactly-once',
        kills: 1,
        read: async () => (await documents(url, index)).map((hit) => hit._source as unknown as WindowRow),
      });
    });
  });
}

test('elasticsearch.sink: options that cannot be', () => {
  const url = 'http://127.0.0.1:9200';
  const bad = (options: object, message: RegExp) =>
    assert.throws(() => elasticsearch.sink({ url, index: 'clicks', ...options } as never), { code: 'ERR_MILLRACE_OPTION', message });
  bad({ index: 'Clicks' }, /index is "Clicks". Names of indices are lower case/);
  bad({ index: 'clicks-{yyyy}' }, /Name the timestamp column that it comes from: indexTime/);
  bad({ index: 'clicks-{YYYY}', indexTime: 'at' }, /index has "YYYY" in the time/);
  bad({ indexTime: 'at' }, /has no time in it/);
  bad({ operation: 'update' }, /Give its id/);
  bad({ version: 'v' }, /Give id, and leave operation out/);
  bad({ changelog: 'upsert' }, /Give the columns that name a document/);
  bad({ url: 'clicks' }, /url is "clicks"; it must be the address of an HTTP server/);
  bad({ idd: 'a' }, /there is no option "idd". Did you mean id\?/);
  bad({ auth: { username: 'a', pasword: 'b' } }, /auth: there is no option "pasword"/);
  assert.throws(
    () => elasticsearch.sink({ url: 'ftp://me:secret@host', index: 'x' }),
    (error: Error) => !error.message.includes('secret'),
  );
  const sink = elasticsearch.sink({ url, index: 'clicks-{yyyy}', indexTime: 'page', id: 'page' });
  assert.throws(() => sink.check({ require: () => 0, field: () => ({ type: utf8 }) } as never), {
    code: 'ERR_MILLRACE_PIPELINE',
    message: /indexTime names the column "page", which is utf8; it has to be timestamp/,
  });
});
