// biome-ignore-all lint/suspicious/noExplicitAny: functions over rows of any schema
/**
 * Generated functions over generated schemas: emitted, called as closures, and interpreted, against the plain model.
 * MILLRACE_ROWS_CASES sets how many functions a seed gives, MILLRACE_SEED where it starts.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AnyRow, type DataType, type Field, Schema } from '../../core/index.ts';
import type { ColumnValue } from '../../operators/rows/operation.ts';
import { planRows, type RowOperation } from '../../operators/rows/rows.ts';
import { GENERATED_TOKEN } from '../../operators/rows/source.ts';
import { effortCount, seedOf } from '../seed.ts';
import { batchOf, expected, MODES, outcome, TYPES } from './rows-model.ts';

const CASES = effortCount(300);
const SEED = seedOf(20_261);
const NAMES = ['a', 'b2', 'page', 'x y', 'é', 'constructor', '__proto__', 'toString', 'q\'u"o', '});process.exit(7)//', 'new\nline', 'i0', 'k0', 'Math'];
const STRINGS = ['', 'a', 'ab', '/page', 'é', 'zürich', '😀', '\ufeffx', '\ufffd', ' a ', '12', 'a longer text of more than sixteen bytes', '\u0000'];
const DOUBLES = [0, -0, 1, -1.5, Number.NaN, Infinity, -Infinity, 0.1, 20, 1e300, 5e-324, 2 ** 31, -(2 ** 53)];

class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }
  below(n: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}

function valueOf(random: Random, type: DataType): unknown {
  if (type.nullable && random.below(3) === 0) return null;
  switch (type.name) {
    case 'bool':
      return random.below(2) === 0;
    case 'utf8':
      return random.pick(STRINGS);
    case 'binary':
      return new Uint8Array([1, 2, 3]).subarray(0, random.below(4));
    case 'i64':
      return random.pick([0n, 1n, -1n, 5n, 2n ** 32n, -(2n ** 32n), 2n ** 63n - 1n, -(2n ** 63n), 4294967301n]);
    case 'f32':
      return Math.fround(random.pick(DOUBLES));
    case 'f64':
      return random.pick(DOUBLES);
    case 'timestamp':
      return random.pick([0, -1, 1_700_000_000_000, 2 ** 53 - 1, -(2 ** 40)]);
    case 'i8':
      return random.pick([0, 1, -128, 127, 20]);
    case 'i16':
      return random.pick([0, 1, -32768, 32767]);
    case 'i32':
      return random.pick([0, 1, -(2 ** 31), 2 ** 31 - 1, 20]);
    case 'u32':
      return random.pick([0, 1, 2 ** 32 - 1, 20]);
  }
}

function column(random: Random, fields: readonly Field[]): string {
  const { name } = random.pick(fields);
  return /^[a-z]\w*$/i.test(name) && random.below(2) === 0 ? `r.${name}` : `r[${JSON.stringify(name)}]`;
}

function expression(random: Random, fields: readonly Field[], depth: number): string {
  const sub = () => expression(random, fields, depth - 1);
  if (depth === 0 || random.below(6) === 0) {
    if (random.below(3) > 0) return column(random, fields);
    return random.pick([
      '0',
      '1',
      '20',
      '0.1',
      '1e300',
      '-1',
      'null',
      'undefined',
      'true',
      'false',
      'NaN',
      'Infinity',
      '1n',
      '5n',
      '-1n',
      '4294967301n',
      'Math.PI',
      '"-0"',
      ...STRINGS.map((text) => JSON.stringify(text)),
    ]);
  }
  switch (random.below(13)) {
    case 0:
    case 1:
      return `(${sub()}) ${random.pick(['+', '-', '*', '/', '%', '**', '&', '|', '^', '<<', '>>', '>>>'])} (${sub()})`;
    case 2:
    case 3:
      return `(${sub()}) ${random.pick(['<', '>', '<=', '>=', '===', '!==', '==', '!='])} (${sub()})`;
    case 4:
    case 5:
      return `((${sub()}) ${random.pick(['&&', '||', '??'])} (${sub()}))`;
    case 6:
      return `((${sub()}) ? (${sub()}) : (${sub()}))`;
    case 7:
      return `(${random.pick(['!', '-', '+', '~', 'typeof ', 'void '])}(${sub()}))`;
    case 8:
      return `Math.${random.pick(['floor', 'abs', 'max', 'min', 'sign', 'fround', 'trunc', 'imul', 'round'])}(${sub()}, ${sub()})`;
    case 9:
      return `\`x\${${sub()}}y\${${sub()}}\``;
    case 10:
      return `(${column(random, fields)})${random.pick(['.', '?.'])}${random.pick(['length', `startsWith(${JSON.stringify(random.pick(STRINGS))})`, `endsWith(${JSON.stringify(random.pick(STRINGS))})`, `includes(${JSON.stringify(random.pick(STRINGS))})`, 'toLowerCase()', 'toUpperCase()', 'trim()', `slice(${sub()})`, 'charCodeAt(0)', `indexOf(${sub()})`])}`;
    case 11:
      return `(${column(random, fields)} ${random.pick(['===', '!==', '==', '!='])} ${random.pick(['null', 'undefined', '20', '0', '5n', '-1n', '4294967301n', ...STRINGS.map((text) => JSON.stringify(text))])})`;
    default:
      return `(${column(random, fields)} ${random.pick(['<', '>', '<=', '>='])} ${random.pick(['0', '20', '5n', '-1', '4294967301', '"a"', '0.5'])})`;
  }
}

function functionOf(source: string): (...values: any[]) => any {
  return new Function('captured', `return ${source}`)(1) as (...values: any[]) => any;
}

/** A generated function, as an arrow, with a block body, destructured, or with a captured variable that keeps it a closure. */
function wrapped(random: Random, fields: readonly Field[], body: string): (row: any) => any {
  switch (random.below(6)) {
    case 0:
      return functionOf(`(r) => { const t = ${expression(random, fields, 1)}; const u = ${body}; return u; }`);
    case 1:
      return functionOf(`function (r) { "use strict"; return ${body}; }`);
    case 2:
      return functionOf(`(r) => captured === 1 ? ${body} : null`);
    default:
      return functionOf(`(r) => (${body})`);
  }
}

function fields(random: Random): Field[] {
  const names = new Set<string>();
  for (let n = 1 + random.below(5); names.size < n; ) names.add(random.pick(NAMES));
  return [...names].map((name) => ({ name, type: random.pick(TYPES) }));
}

/** A value for a column of this type: often one that fits. */
function fitting(random: Random, from: readonly Field[], type: DataType): string {
  const same = from.filter((field) => field.type.name === type.name);
  if (same.length > 0 && random.below(3) === 0) return `r[${JSON.stringify(random.pick(same).name)}]`;
  const e = expression(random, from, 2);
  if (type.nullable && random.below(3) === 0) return `((${e}) ? null : undefined)`;
  if (random.below(8) === 0) return e;
  switch (type.name) {
    case 'bool':
      return `!(${e})`;
    case 'utf8':
      return `\`\${${e}}\``;
    case 'i64':
      return `((${e}) ? 5n : -7n)`;
    case 'binary':
      return e;
    case 'i8':
      return `((${e}) & 63)`;
    case 'u32':
      return `((${e}) >>> 0)`;
    case 'timestamp':
      return `((${e}) | 0) + 0.5`;
    case 'i16':
      return `((${e}) & 4095)`;
    case 'i32':
      return `((${e}) | 0)`;
    default:
      return `((${e}) * 2)`;
  }
}

function operations(random: Random, first: readonly Field[]): RowOperation[] {
  const list: RowOperation[] = [];
  let current = first;
  for (let n = 1 + random.below(3); n > 0; n--) {
    const kind = random.below(11);
    if (kind < 3) list.push({ kind: 'filter', fn: wrapped(random, current, expression(random, current, 3)) });
    else if (kind < 6) {
      const next = fields(random);
      const body = `({${next.map(({ name, type }) => `[${JSON.stringify(name)}]: ${fitting(random, current, type)}`).join(', ')}})`;
      const plain = `({${next.map(({ name, type }) => `${name === '__proto__' ? '["__proto__"]' : JSON.stringify(name)}: ${fitting(random, current, type)}`).join(', ')}})`;
      list.push({ kind: 'map', schema: new Schema(next), fn: wrapped(random, current, random.below(2) === 0 ? body : plain) });
      current = next;
    } else if (kind === 8) {
      const added = fields(random);
      const body = `({${added.map(({ name, type }) => `[${JSON.stringify(name)}]: ${fitting(random, current, type)}`).join(', ')}, ["more"]: 1})`;
      list.push({ kind: 'keyBy', schema: new Schema(added), fn: wrapped(random, current, body) });
      const at = (name: string) => added.find((field) => field.name === name);
      current = [...current.map((field) => at(field.name) ?? field), ...added.filter(({ name }) => !current.some((field) => field.name === name))];
    } else if (kind === 9) {
      const added = fields(random);
      const values = added.map((field): ColumnValue => {
        const where = field.type.nullable && random.below(2) === 0 ? wrapped(random, current, `(${expression(random, current, 2)})`) : undefined;
        const same = current.find(({ type }) => type.name === field.type.name && !type.nullable);
        if (where !== undefined && same !== undefined) return { column: same.name, where };
        return { fn: wrapped(random, current, `(${fitting(random, current, field.type)})`), where };
      });
      list.push({ kind: 'withColumns', schema: new Schema(added), values });
      const at = (name: string) => added.find((field) => field.name === name);
      current = [...current.map((field) => at(field.name) ?? field), ...added.filter(({ name }) => !current.some((field) => field.name === name))];
    } else if (kind === 10) {
      // Names go round, so that a new one was another column's; or one is new.
      const renamed = current.filter(() => random.below(2) === 0).map(({ name }) => name);
      const names = new Map(
        renamed.map((name, at) => [name, random.below(4) === 0 ? `new ${list.length} ${at}` : (renamed[(at + 1) % renamed.length] as string)]),
      );
      const columns = current.map(({ name, type }) => ({ name: names.get(name) ?? name, type }));
      if (new Set(columns.map(({ name }) => name)).size < columns.length) continue;
      list.push({ kind: 'rename', names });
      current = columns;
    } else if (kind === 6) {
      const next = fields(random);
      const row = `{${next.map(({ name, type }) => `[${JSON.stringify(name)}]: ${fitting(random, current, type)}`).join(', ')}}`;
      list.push({
        kind: 'flatMap',
        schema: new Schema(next),
        fn: functionOf(`(r, emit) => { for (let n = 0; n < ${random.below(4)}; n++) emit(${row}); if (${expression(random, current, 2)}) emit(${row}); }`),
      });
      current = next;
    } else {
      const kept = current.filter(() => random.below(2) === 0);
      current = kept.length > 0 ? kept.reverse() : current;
      list.push({ kind: 'select', columns: current.map((field) => field.name) });
    }
  }
  return list;
}

test(`${CASES} generated chains give the model's rows, origins and failures in every mode`, () => {
  let emitted = 0;
  let kept = 0;
  for (let n = 0; n < CASES; n++) {
    const random = new Random(SEED + n);
    const schema = new Schema(fields(random));
    const rows: AnyRow[] = Array.from({ length: 24 }, () => Object.fromEntries(schema.fields.map(({ name, type }) => [name, valueOf(random, type)])));
    const { batch, release } = batchOf(schema, rows);
    if (random.below(4) === 0) spoil(random, batch);
    const chain = operations(random, schema.fields);
    const want = expected(batch, chain);
    const needed =
      random.below(2) === 0
        ? 'all'
        : planRows(schema, chain, 'all')
            .outputSchema.fields.map((_, c) => c)
            .filter(() => random.below(2) === 0);
    const names = planRows(schema, chain, 'all').outputSchema.fields.map((field) => field.name);
    const wanted = needed === 'all' ? want.rows : want.rows.map((row) => Object.fromEntries(needed.map((c) => [names[c], row[names[c] as string]])));
    kept += want.rows.length;
    for (const [mode, options] of MODES) {
      const plan = planRows(schema, chain, needed, options);
      emitted += plan.describe().filter((line) => line.includes('expression')).length;
      const note = () =>
        `seed ${SEED + n}, ${mode}, needed ${needed}\n${schema}\n${chain.map((operation) => ('fn' in operation ? operation.fn : 'values' in operation ? operation.values.map((value) => Object.values(value).join(' where ')).join() : JSON.stringify(operation))).join('\n')}\n${plan.code.join('\n')}`;
      const got = outcome(batch, chain, options, needed, 64);
      try {
        assert.deepEqual(
          got.failed.sort((a, b) => a - b),
          want.failed,
        );
        assert.deepEqual(got.origins, want.origins);
        assert.deepEqual(got.rows, wanted);
      } catch (error) {
        (error as Error).message += `\n${note()}`;
        throw error;
      }
      for (const text of plan.code) assertGrammar(text);
    }
    release();
  }
  assert.ok(emitted > CASES / 2, `only ${emitted} operations were emitted as expressions`);
  assert.ok(kept > CASES, `only ${kept} rows came out`);
});

/** Bytes that are no UTF-8 in text columns: still the same text for everybody. */
function spoil(random: Random, batch: ReturnType<typeof batchOf>['batch']): void {
  for (const { type, data, offsets } of batch.columns) {
    if (type.name !== 'utf8') continue;
    const end = batch.memory.i32[(offsets >>> 2) + batch.rowCount] as number;
    for (let at = 0; at < end; at++) if (random.below(5) === 0) batch.memory.u8[data + at] = 0x80 + random.below(0x80);
  }
}

function assertGrammar(text: string): void {
  for (const token of text.match(/"[^"\n]*"|[A-Za-z_$][\w$]*|\d+n?|\s+|[^\s\w]/g) ?? []) {
    assert.ok(/^\s+$/.test(token) || GENERATED_TOKEN.test(token), `generated text holds ${JSON.stringify(token)}\n${text}`);
  }
}
