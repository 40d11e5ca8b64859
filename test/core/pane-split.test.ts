// The pane split against rows in arrays, and the kernel against its reference, byte for byte.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  BatchBuilder,
  createMemory,
  EVENT_TIME_MAX,
  kernelExports,
  nullable,
  PaneGrid,
  PaneSplit,
  type PaneSplitKernel,
  paneSplitReference,
  SlabAllocator,
  schema,
  timestamp,
} from '../../core/index.ts';
import { caseCount, fc } from '../seed.ts';

const slabs = new SlabAllocator(createMemory(16 << 20));
const { memory } = slabs;
const plain = new BatchBuilder(slabs, schema({ at: timestamp }), 512);
const withNulls = new BatchBuilder(slabs, schema({ at: nullable(timestamp) }), 512);

const grid = fc.constantFrom(new PaneGrid(10, 10), new PaneGrid(10, 3), new PaneGrid(1, 1), new PaneGrid(7, 5, 4), new PaneGrid(1_000_000, 1_000_000, -3));
const time = fc.oneof(
  { weight: 20, arbitrary: fc.integer({ min: -40, max: 60 }) },
  { weight: 1, arbitrary: fc.constantFrom(EVENT_TIME_MAX, -EVENT_TIME_MAX, EVENT_TIME_MAX + 1, -EVENT_TIME_MAX - 1) },
);
const bound = fc.constantFrom(-Infinity, -10, 0, 20, Infinity);

function fill(times: readonly (number | null)[]) {
  const builder = times.includes(null) ? withNulls : plain;
  builder.reset();
  for (const at of times) builder.appendRow({ at });
  return builder.finish().column(0);
}

describe('PaneSplit', () => {
  test('gives each pane its rows, and the late ones', () => {
    fc.assert(
      fc.property(
        grid,
        fc.array(fc.oneof({ weight: 30, arbitrary: time }, { weight: 1, arbitrary: fc.constant(null) }), { maxLength: 300 }),
        bound,
        bound,
        fc.constantFrom(0, -1),
        (g, times, lateBefore, timeBound, shift) => {
          const split = new PaneSplit(slabs, g, shift);
          const panes = new Map<number, number[]>();
          const late: number[] = [];
          let maxTime = -Infinity;
          times.forEach((raw, row) => {
            const isTime = raw !== null && Math.abs(raw) <= EVENT_TIME_MAX;
            const at = (raw ?? 0) + shift;
            if (isTime && at <= timeBound) maxTime = Math.max(maxTime, at);
            if (!isTime || at < lateBefore) late.push(row);
            else panes.set(g.paneOf(at), [...(panes.get(g.paneOf(at)) ?? []), row]);
          });
          split.split(fill(times), times.length, lateBefore, timeBound);
          const found = split.panes
            .slice(0, split.paneCount)
            .map(({ pane, selection, count }) => [
              pane,
              selection === 0 ? [...Array(count).keys()] : [...memory.u32.subarray(selection >>> 2, (selection >>> 2) + count)],
            ]);
          assert.deepEqual(found, [...panes]);
          assert.equal(split.lateCount, late.length);
          if (late.length > 0) assert.deepEqual([...memory.u32.subarray(split.lateRows >>> 2, (split.lateRows >>> 2) + late.length)], late);
          assert.equal(split.maxTimeMs, maxTime);
          split.release();
        },
      ),
      { numRuns: caseCount(300) },
    );
  });

  test('writes the same bytes in the kernel and in its reference', (t) => {
    const kernel = kernelExports<{ paneSplit?: PaneSplitKernel }>(memory)?.paneSplit;
    if (kernel === undefined) return t.skip('no kernels built');
    const reference = paneSplitReference(memory);
    const rowMax = 320;
    const [header, panes, places, selection, directory, end] = [0, 16, rowMax * 16 + 16, rowMax * 20 + 16, rowMax * 24 + 16, rowMax * 24 + 16 + 1024 * 16];
    const scratch = slabs.alloc(end);
    fc.assert(
      fc.property(grid, fc.array(time, { minLength: 1, maxLength: 300 }), bound, bound, fc.boolean(), (g, times, lateBefore, timeBound, hasNull) => {
        const column = fill(hasNull ? [...times, null] : times);
        const rowCount = times.length + (hasNull ? 1 : 0);
        const [byKernel, byReference] = [kernel, reference].map((split) => {
          memory.u8.fill(0, scratch, scratch + end);
          const count = split(
            column.data,
            column.validity,
            rowCount,
            lateBefore,
            timeBound,
            g.slideMs,
            g.offsetMs,
            g.cutMs,
            scratch + header,
            scratch + panes,
            scratch + places,
            scratch + selection,
            scratch + directory,
            1023,
          );
          return [count, [...memory.u8.slice(scratch, scratch + 12)], [...memory.u8.slice(scratch + panes, scratch + directory)]];
        });
        assert.deepEqual(byReference?.slice(0, 2), byKernel?.slice(0, 2));
        // Where a pane begins is written by both; the reference keeps the running ends elsewhere.
        assert.deepEqual(byReference, byKernel);
      }),
      { numRuns: caseCount(300) },
    );
    slabs.free(scratch);
  });
});
