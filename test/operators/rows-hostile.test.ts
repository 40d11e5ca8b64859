// biome-ignore-all lint/suspicious/noExplicitAny: functions over rows of any schema
/**
 * Names and texts that try to get into generated code. MILLRACE_HOSTILE_CASES sets how many schemas are tried (the
 * release tier runs a million). The grammar is written down here anew, not taken from the code under test.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DataType, f64, nullable, Schema, utf8 } from '../../core/index.ts';
import { planRows, type RowOperation } from '../../operators/rows/rows.ts';
import { effortCount, seedOf } from '../seed.ts';
import { batchOf, expected, MODES, outcome } from './rows-model.ts';

const CASES = effortCount(4_000);
const PIECES = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  '"',
  "'",
  '`',
  '\\',
  '\n',
  '\r',
  '\u2028',
  '\0',
  '});process.exit(9)//',
  '*/',
  '/*',
  '${',
  '}',
  ']',
  ')',
  ';',
  'eval(',
  'this',
  'k0',
  'st0',
  'x1',
  'return',
  '\ud800',
  'é',
  ' ',
  '',
  '-->',
  '<!--',
  '0',
  'length',
  '=',
  ',',
];
const WORDS =
  /^(?:let|const|return|function|for|if|else|continue|break|new|this|prototype|typeof|void|null|true|false|try|catch|throw|Math|Number|BigInt|[a-z]{1,3}\d+|startsWith|endsWith|includes|length|toUpperCase|asIntN|floor|isSafeInteger|fround)$/;

let state = seedOf(7);
const below = (n: number): number => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((state / 2 ** 32) * n);
};
const hostile = (): string => Array.from({ length: 1 + below(4) }, () => PIECES[below(PIECES.length)]).join('');

function assertTokens(text: string): void {
  for (const [token] of text.matchAll(/"[^"]*"|[\p{L}_$][\p{L}\p{N}_$]*|[\s\S]/gu)) {
    const isFine = /^["]/.test(token)
      ? /^"(use strict|number|string|boolean|bigint|object)"$/.test(token)
      : /^[A-Za-z]/.test(token)
        ? WORDS.test(token)
        : /^[\d\n +*/%<>=!&|^~?:;,.(){}[\]-]$/.test(token);
    assert.ok(isFine, `generated text holds ${JSON.stringify(token)}\n${text}`);
  }
  assert.ok(!/\/[/*]/.test(text), 'no comment');
}

test(`${CASES} hostile schemas: generated text holds nothing of a name or of a text`, () => {
  const before = Object.getOwnPropertyNames(Object.prototype).join();
  for (let n = 0; n < CASES; n++) {
    const input = new Schema(
      [...new Set([hostile(), hostile(), hostile()])].map((name, c) => ({ name, type: (c % 2 === 0 ? utf8 : nullable(f64)) as DataType })),
    );
    const output = new Schema([...new Set([hostile(), hostile()])].map((name) => ({ name, type: nullable(utf8) })));
    const [first, second] = [JSON.stringify(input.field(0).name), JSON.stringify((input.fields[1] ?? input.field(0)).name)];
    const literal = JSON.stringify(hostile());
    const result = output.fields
      .map(({ name }) => `[${JSON.stringify(name)}]: r[${second}] === null ? r[${first}] : \`\${r[${first}]}\` + ${literal}`)
      .join(',');
    const text = n % 2 === 0 ? '' : 'captured, ';
    const make = (source: string) => new Function('captured', `return ${source}`)(1) as (...values: any[]) => any;
    const operations: RowOperation[] = [
      { kind: 'filter', fn: make(`(r) => ${text === '' ? '' : 'captured && '}(r[${first}] !== ${literal} || r[${first}].includes(${literal}))`) },
      { kind: 'map', schema: output, fn: make(`(r) => ({${result}})`) },
      ...(n % 5 === 0 ? [{ kind: 'flatMap', schema: output, fn: make('(r, emit) => { emit(r); emit(r); }') } as RowOperation] : []),
    ];
    const plan = planRows(input, operations, 'all');
    assert.ok(plan.code.length > 0);
    plan.code.forEach(assertTokens);
    if (n % 50 === 0) {
      const { batch, release } = batchOf(
        input,
        Array.from({ length: 8 }, (_, at) =>
          Object.fromEntries(input.fields.map(({ name, type }) => [name, type.nullable ? (at % 2 === 0 ? null : at) : hostile()])),
        ),
      );
      for (const [mode, options] of MODES) assert.deepEqual(outcome(batch, operations, options), expected(batch, operations), mode);
      release();
    }
  }
  assert.equal(Object.getOwnPropertyNames(Object.prototype).join(), before);
});
