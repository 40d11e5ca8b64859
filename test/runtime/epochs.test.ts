/** When positions may be committed: what each exchange has to have let go of. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Commits } from '../../runtime/epoch/commits.ts';

/** Ends an epoch and has it written: which one's positions may then be committed. */
function step(epochs: Commits, ...progress: readonly (readonly [heldUntil: number, watermark: number])[]): number | undefined {
  const record = epochs.end([], { startedAtMs: 0, beganAtMs: 0, cutAtMs: 0 }, 0);
  epochs.merged(
    record,
    progress.map(([heldUntil, watermark]) => ({ heldUntil, watermark })),
    [],
  );
  return epochs.written(record, 0)?.epoch;
}

test('an epoch waits for its windows, and no longer', () => {
  const epochs = new Commits([[]]);
  assert.equal(step(epochs, [10, 5]), undefined);
  assert.equal(step(epochs, [20, 10]), 0);
  assert.equal(step(epochs, [30, 25]), 1);
  assert.equal(step(epochs, [30, 30]), 3);
});

test('where windows feed windows, nothing is committed while one that was fed is open: a restart would not feed it again', () => {
  const epochs = new Commits([[], [0]]);
  assert.equal(step(epochs, [10, 5], [Number.NEGATIVE_INFINITY, 5]), undefined);
  // The window to 10 has closed, and has fed the one to 40.
  assert.equal(step(epochs, [20, 10], [40, 10]), undefined);
  assert.equal(step(epochs, [40, 35], [40, 35]), undefined);
  // The one to 40 has closed; and so has the one to 50, which has fed the one to 80. Commits 0 to 2 are over, but to read behind them is
  // to miss what the window to 50 gave.
  assert.equal(step(epochs, [60, 50], [80, 50]), undefined);
  assert.equal(step(epochs, [90, 85], [80, 85]), 3);
});
