/** Line framing: TypeScript reference and kernel against a model that splits a string. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createMemory, kernelExports, SlabAllocator } from '../../core/index.ts';
import { type LineKernels, lineBytes, lineSplit, splitLines } from '../../io/lines.ts';
import { allocRecordIndex } from '../../io/record-index.ts';
import { caseCount, fc } from '../seed.ts';

const memory = createMemory(4 << 20);
const slabs = new SlabAllocator(memory);
const run = slabs.alloc(1 << 16);

interface Line {
  readonly text: string;
  readonly offset: number;
}

function model(text: string, firstOffset: number): Line[] {
  const lines: Line[] = [];
  let offset = firstOffset;
  const pieces = text.split('\n');
  pieces.forEach((piece, i) => {
    const isLast = i === pieces.length - 1;
    if (!(isLast && piece === '')) lines.push({ text: !isLast && piece.endsWith('\r') ? piece.slice(0, -1) : piece, offset });
    offset += piece.length + 1;
  });
  return lines;
}

/** Where a \r alone ends a line too. */
function modelWithCr(text: string, firstOffset: number): Line[] {
  const lines: Line[] = [];
  let from = 0;
  for (const { 0: end, index } of text.matchAll(/\r\n|\r|\n/g)) {
    lines.push({ text: text.slice(from, index), offset: firstOffset + from });
    from = (index as number) + end.length;
  }
  if (from < text.length) lines.push({ text: text.slice(from), offset: firstOffset + from });
  return lines;
}

type Split = (index: ReturnType<typeof allocRecordIndex>, length: number, firstOffset: number, from: number, breaksAtCr: boolean) => number;
const viaDoor: Split = (index, length, firstOffset, from, breaksAtCr) => splitLines(memory, run + from, length, index, firstOffset, breaksAtCr);
const viaReference: Split = (index, length, firstOffset, from, breaksAtCr) => {
  index.count = lineSplit(memory, run + from, length, index.values, index.valueLengths, index.offsets, firstOffset, index.capacity, breaksAtCr);
  return index.count;
};

function linesOf(split: Split, text: string, firstOffset: number, from: number, capacity: number, breaksAtCr = false): Line[] {
  const bytes = Buffer.from(text, 'latin1');
  memory.u8.set(bytes, run + from);
  memory.u8[run + from + bytes.length] = 0x0a; // What lies behind the run must not matter.
  const index = allocRecordIndex(slabs, capacity, 'lines');
  const lines: Line[] = [];
  for (let at = 0; at < bytes.length; ) {
    const count = split(index, bytes.length - at, firstOffset + at, from + at, breaksAtCr);
    assert.ok(count > 0 && count <= index.capacity);
    for (let i = 0; i < count; i++) {
      const start = memory.u32[(index.values >>> 2) + i] as number;
      const length = memory.i32[(index.valueLengths >>> 2) + i] as number;
      lines.push({ text: Buffer.from(memory.u8.slice(start, start + length)).toString('latin1'), offset: memory.f64[(index.offsets >>> 3) + i] as number });
    }
    at += lineBytes(memory, run + from + at, bytes.length - at, index);
  }
  index.release();
  return lines;
}

describe('splitLines', () => {
  test('has its kernel', () => {
    if (process.env.MILLRACE_KERNELS !== 'typescript') assert.equal(typeof kernelExports<LineKernels>(memory)?.lineSplit, 'function');
  });

  for (const [name, split] of [
    ['door', viaDoor],
    ['reference', viaReference],
  ] as const) {
    test(`lists what a string split lists (${name})`, () => {
      const piece = fc.oneof(
        fc.constantFrom('\n', '\r\n', '\r', '', 'a'),
        fc.string({ maxLength: 40 }).map((s) => Buffer.from(s).toString('latin1')),
      );
      fc.assert(
        fc.property(fc.array(piece, { maxLength: 60 }), fc.nat(1_000_000), fc.nat(20), fc.constantFrom(16, 64, 4096), (pieces, firstOffset, from, capacity) => {
          const text = pieces.join('');
          assert.deepEqual(linesOf(split, text, firstOffset, from, capacity), model(text, firstOffset));
          assert.deepEqual(linesOf(split, text, firstOffset, from, capacity, true), modelWithCr(text, firstOffset));
        }),
        { numRuns: caseCount(400) },
      );
    });
  }

  test('keeps offsets beyond 32 bits', () => {
    assert.deepEqual(
      linesOf(viaDoor, 'a\nb', 2 ** 40, 0, 16).map((line) => line.offset),
      [2 ** 40, 2 ** 40 + 2],
    );
  });
});

describe('RecordSpace', () => {
  test('keeps its records when it grows, and gives its slab back', () => {
    const before = slabs.usage().usedBytes;
    const index = allocRecordIndex(slabs, 10);
    assert.equal(index.capacity, 16);
    const arrays = ['values', 'valueLengths', 'keys', 'keyLengths', 'headers'] as const;
    for (let i = 0; i < 16; i++) {
      arrays.forEach((name, a) => (memory.u32[(index[name] >>> 2) + i] = i * 10 + a));
      memory.f64[(index.offsets >>> 3) + i] = i + 0.25;
      memory.f64[(index.timestamps >>> 3) + i] = i + 0.5;
    }
    index.count = 16;
    index.reserve(5000);
    assert.ok(index.capacity >= 5000);
    for (let i = 0; i < 16; i++) {
      arrays.forEach((name, a) => assert.equal(memory.u32[(index[name] >>> 2) + i], i * 10 + a));
      assert.equal(memory.f64[(index.offsets >>> 3) + i], i + 0.25);
      assert.equal(memory.f64[(index.timestamps >>> 3) + i], i + 0.5);
    }
    index.release();
    assert.equal(slabs.usage().usedBytes, before);
    const lines = allocRecordIndex(slabs, 10, 'lines');
    assert.deepEqual([lines.keys, lines.keyLengths, lines.timestamps, lines.headers], [0, 0, 0, 0]);
    lines.release();
  });
});
