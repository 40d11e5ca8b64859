/** sinkConformance: the sinks of this package hold what they promise, and a sink that does not is found. */

import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { type CollectSink, collect } from '../../io/index.ts';
import {
  files,
  json,
  lineSinkEncoder,
  log,
  type MillraceError,
  readLog,
  type Sink,
  type SinkBlock,
  type SinkWriter,
  stdout,
  type Transaction,
} from '../../runtime/index.ts';
import { type ConformanceRow, sinkConformance } from '../../runtime/testing.ts';
import { kafkaDecode } from '../io/record-batch-harness.ts';
import { effortCount } from '../seed.ts';

const root = mkdtempSync(join(tmpdir(), 'millrace-conformance-'));
after(() => rmSync(root, { recursive: true }));

/** What a killed process leaves behind: a copy, without its locks. */
let copies = 0;
function crash(place: string): string {
  const next = `${place.replace(/~.*/, '')}~${copies++}`;
  if (existsSync(join(root, place))) cpSync(join(root, place), join(root, next), { recursive: true, filter: (path) => !path.includes('.held') });
  return next;
}

const parsed = (lines: string): ConformanceRow[] => {
  return lines
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as ConformanceRow);
};

describe('the sinks of this package', () => {
  test('log.sink', async () => {
    const report = await sinkConformance((place) => log.sink({ dir: join(root, place), topic: 't', key: 'unit', value: json(), segmentBytes: 50_000 }), {
      async read(place) {
        const rows: ConformanceRow[] = [];
        if (!existsSync(join(root, place, 't'))) return rows;
        for await (const { bytes } of readLog(join(root, place), 't')) {
          for (const { value } of (await kafkaDecode(bytes)).records) rows.push(JSON.parse(String(value)) as ConformanceRow);
        }
        return rows;
      },
      crash,
      schedules: 6,
    });
    assert.equal(report.delivery, 'replayed by epoch');
    assert.ok(report.rows > 1_000, `${report.rows} rows`);
    assert.ok(report.overlaps.refused > 0 && report.overlaps.fenced === 0);
    for (const [point, count] of Object.entries(report.crashes)) assert.ok(count > 0, `no crash was ${point}`);
    for (const { rule, guarantee, held } of report.rules) if (guarantee === 'exactly-once') assert.ok(held > 0, rule);
  });

  test('files.sink', async () => {
    for (const parts of ['one', 'shard'] as const) {
      const report = await sinkConformance((place) => files.sink({ dir: join(root, `${parts}-${place}`), value: json(), parts }), {
        read(place) {
          const dir = join(root, `${parts}-${place}`);
          const names = existsSync(dir) ? readdirSync(dir).filter((name) => name.startsWith('part-')) : [];
          return names.sort().flatMap((name) => parsed(readFileSync(join(dir, name), 'utf8')));
        },
        crash: (place) => crash(`${parts}-${place}`).slice(parts.length + 1),
        schedules: 6,
      });
      assert.ok(report.overlaps.refused > 0);
    }
  });

  test('collect', async () => {
    const sinks = new Map<string, CollectSink<ConformanceRow>>();
    const at = (place: string) => {
      let sink = sinks.get(place);
      if (sink === undefined) sinks.set(place, (sink = collect<ConformanceRow>()));
      return sink;
    };
    const report = await sinkConformance(at, { read: (place) => at(place).rows, guarantees: ['exactly-once'] });
    assert.ok(report.overlaps.fenced > 0 && report.overlaps.refused === 0);
  });
});

/** What outlives a writer of the sinks below. */
class Store {
  readonly rows: ConformanceRow[] = [];
  readonly byKey = new Map<string, ConformanceRow>();
  prepared: { checkpoint: number; rows: ConformanceRow[] }[] = [];
  committed = -1;
  owner = 0;
}

/** One text that a sink, right or wrong, makes of a store. The fault is named; none is the sink that is right. */
type Faulty = (store: Store, fault?: string) => Sink;

const rowsOf = ({ bytes }: Pick<SinkBlock, 'bytes'>) => parsed(Buffer.from(bytes).toString('utf8'));
const lines = (of: Omit<Sink, 'name' | 'check' | 'encoder'>): Sink => ({
  name: 'own',
  check: () => {},
  encoder: (context) => lineSinkEncoder(context, json()),
  ...of,
});

const replayed: Faulty = (store, fault) =>
  lines({
    delivery: 'replayed by epoch',
    async open() {
      const me = ++store.owner;
      let pending: { epoch: number; block: Pick<SinkBlock, 'bytes'> }[] = [];
      const isMine = () => {
        if (me !== store.owner && fault !== 'fences nobody') throw new Error('fenced');
      };
      const take = (until: number) => {
        const rows = pending.filter(({ epoch }) => epoch <= until).flatMap(({ block }) => rowsOf(block));
        pending = pending.filter(({ epoch }) => epoch > until);
        return fault === 'turns blocks round' ? rows.reverse() : rows;
      };
      const publish = (until: number) => {
        for (const { checkpoint, rows } of store.prepared) if (checkpoint <= until) for (const row of rows) store.rows.push(row);
        if (fault !== 'doubles at a second commit') store.prepared = store.prepared.filter(({ checkpoint }) => checkpoint > until);
      };
      const writer: SinkWriter = {
        info: { partitionCount: 1 },
        async recover(checkpoint) {
          isMine();
          if (fault !== 'drops what was decided') publish(checkpoint);
          if (fault !== 'forgets to drop') store.prepared = [];
        },
        async write({ epoch, bytes }) {
          isMine();
          if (fault === 'shows at once') store.rows.push(...rowsOf({ bytes }));
          else pending.push({ epoch, block: { bytes: fault === 'keeps the memory' ? bytes : bytes.slice() } });
        },
        async prepare(checkpoint) {
          isMine();
          if (fault === 'commits before it flushes') return;
          if (fault === 'shows what is prepared') store.rows.push(...take(checkpoint));
          else store.prepared.push({ checkpoint, rows: take(checkpoint) });
        },
        async commit(checkpoint) {
          isMine();
          if (fault === 'commits before it flushes') store.prepared.push({ checkpoint, rows: take(checkpoint) });
          publish(fault === 'commits too late' ? checkpoint - 1 : checkpoint);
        },
        async close() {},
      };
      return writer;
    },
  });

const idempotent: Faulty = (store, fault) =>
  lines({
    delivery: 'idempotent',
    open: async () => {
      let pending: ConformanceRow[] = [];
      return {
        info: { partitionCount: 1 },
        write: async (block) => void pending.push(...rowsOf(block)),
        async commit() {
          for (const row of fault === 'loses a row' ? pending.slice(1) : pending)
            store.byKey.set(`${row.unit} ${row.seq} ${fault === 'appends' ? store.byKey.size : ''}`, row);
          pending = [];
        },
        close: async () => {},
      };
    },
  });

const atLeastOnce: Faulty = (store, fault) =>
  lines({
    open: async () => {
      const lagging: ConformanceRow[] = [];
      return {
        info: { partitionCount: 1 },
        async write(block) {
          if (fault === 'acknowledges before it writes') lagging.push(...rowsOf(block));
          else store.rows.push(...rowsOf(block));
          if (lagging.length > 500) store.rows.push(...lagging.splice(0));
        },
        commit: async () => {},
        close: async () => void store.rows.push(...lagging.splice(0)),
      };
    },
  });

const transactional: Faulty = (store, fault) => {
  const open = new Map<object, ConformanceRow[]>();
  return lines({
    delivery: 'transactional',
    transactions: {
      domain: 'memory',
      async open() {
        const me = ++store.owner;
        const transaction: Transaction = {
          async recover() {
            return store.committed < 0 ? undefined : store.committed;
          },
          async commit(checkpoint) {
            if (me !== store.owner && fault !== 'fences nobody') throw new Error('fenced');
            store.rows.push(...(open.get(transaction) ?? []));
            open.set(transaction, []);
            if (fault !== 'forgets the number') store.committed = checkpoint;
          },
          async close() {},
        };
        return transaction;
      },
    },
    open: async ({ transaction }) => ({
      info: { partitionCount: 1 },
      async write(block) {
        if (fault === 'writes outside of it') store.rows.push(...rowsOf(block));
        else open.set(transaction as Transaction, [...(open.get(transaction as Transaction) ?? []), ...rowsOf(block)]);
      },
      commit: async () => {},
      close: async () => {},
    }),
  });
};

describe('sinks of others', () => {
  const faults: readonly (readonly [make: Faulty, fault: string, found: RegExp])[] = [
    [replayed, 'shows at once', /what is not committed is not visible, but row/],
    [replayed, 'shows what is prepared', /what is not committed is not visible, but row/],
    [replayed, 'commits before it flushes', /recover makes visible what was decided, and drops the rest, but row \d+ of unit \d \(attempt \d\) is not visible/],
    [replayed, 'drops what was decided', /recover makes visible what was decided, and drops the rest, but row .* is not visible/],
    [replayed, 'forgets to drop', /must not be/],
    [replayed, 'doubles at a second commit', /is visible twice/],
    [replayed, 'commits too late', /commit makes visible what was prepared, but .* is not visible/],
    [replayed, 'turns blocks round', /comes behind row \d+ of its unit/],
    [replayed, 'keeps the memory', /commit|prepare/],
    [replayed, 'fences nobody', /of two writers at most one can make rows visible/],
    [idempotent, 'appends', /is visible twice/],
    [idempotent, 'loses a row', /is not visible/],
    [atLeastOnce, 'acknowledges before it writes', /is not visible/],
    [transactional, 'fences nobody', /of two writers at most one can make rows visible/],
    [transactional, 'forgets the number', /the transaction is at checkpoint -1 after recover\(\), and checkpoint \d+ was the last one committed/],
    [transactional, 'writes outside of it', /what is not committed is not visible/],
  ];
  const run = (make: Faulty, fault: string | undefined, seed: number) => {
    const stores = new Map<string, Store>();
    const at = (place: string) => {
      let store = stores.get(place);
      if (store === undefined) stores.set(place, (store = new Store()));
      return store;
    };
    const read = (place: string) => [...at(place).rows, ...at(place).byKey.values()];
    const { delivery } = make(at('none'));
    const guarantees = delivery === undefined ? ['at-least-once' as const] : ['exactly-once' as const];
    return sinkConformance((place) => make(at(place), fault), { read, guarantees, seed });
  };

  for (const make of [replayed, idempotent, atLeastOnce, transactional]) {
    test(`${make(new Store()).delivery ?? 'no delivery'}: one that is right passes`, async () => {
      for (let seed = 1; seed <= effortCount(2); seed++) {
        const report = await run(make, undefined, seed);
        assert.ok(report.starts > report.schedules);
        if (make === replayed || make === transactional) assert.ok(report.overlaps.fenced > 0);
      }
    });
  }

  for (const [make, fault, found] of faults) {
    test(`${make(new Store()).delivery ?? 'no delivery'}: one that ${fault} is found with any seed`, async () => {
      for (let seed = 1; seed <= effortCount(2); seed++) {
        await assert.rejects(run(make, fault, seed), (error: MillraceError) => {
          assert.equal(error.code, 'ERR_MILLRACE_SINK');
          assert.match(error.message, found);
          assert.match(error.message, new RegExp(`Schedule \\d+ of seed ${seed}: open, `));
          return true;
        });
      }
    });
  }

  test('a sink without what its delivery asks for, and wrong options, are refused', async () => {
    const bare = lines({
      delivery: 'replayed by epoch',
      open: async () => ({ info: { partitionCount: 1 }, write: async () => {}, commit: async () => {}, close: async () => {} }),
    });
    await assert.rejects(
      sinkConformance(() => bare, { read: () => [] }),
      { code: 'ERR_MILLRACE_SINK', message: /asks for prepare and recover/ },
    );
    await assert.rejects(
      sinkConformance(() => ({ ...bare, delivery: 'transactional' as const }), { read: () => [] }),
      { code: 'ERR_MILLRACE_SINK', message: /has no transactions/ },
    );
    await assert.rejects(
      sinkConformance(() => bare, { read: () => [], schedules: 0 }),
      { code: 'ERR_MILLRACE_OPTION' },
    );
    await assert.rejects(
      sinkConformance(() => stdout(), { read: () => [], guarantees: ['exactly-once'] }),
      { code: 'ERR_MILLRACE_OPTION', message: /console is at-least-once/ },
    );
  });
});
