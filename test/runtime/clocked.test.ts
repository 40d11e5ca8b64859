/**
 * A job in which something always waits for the clock: state of processing time that never closes. It ends when
 * it has read what is there, and when it is stopped.
 */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { run } from '../../runtime/index.ts';
import type { Params } from './pipelines/clocked.ts';
import { writeTopic } from './topics.ts';
import { until } from './until.ts';

const CLOCKED = new URL('./pipelines/clocked.ts', import.meta.url);
const ROWS = Array.from({ length: 300 }, (_, n) => JSON.stringify({ key: `k${n % 5}`, n }));

for (const what of ['timers', 'triggers'] as const) {
  for (const isKept of [false, true]) {
    test(`${what}, ${isKept ? 'with' : 'without'} a checkpoint`, async (t) => {
      const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
      t.after(() => rm(dir, { recursive: true, force: true }));
      await writeTopic(dir, 'in', 2, ROWS);
      const params: Params = { dir, what };
      // Epochs as close to each other as they can be: one is always under way.
      const options = { workers: 1, trigger: 1, params: { ...params }, ...(isKept ? { checkpoint: { dir: join(dir, 'state'), interval: 1 } } : {}) };
      for (let turn = 0; turn < 2; turn++) {
        const bounded = await run(CLOCKED, { ...options, bounded: true });
        const { rowsIn } = await bounded.done;
        assert.equal(rowsIn, isKept && turn > 0 ? 0 : ROWS.length);
      }
      const endless = await run(CLOCKED, { ...options, drainTimeout: '60s' });
      await until(() => endless.progress().epoch > 20, 'epochs');
      await endless.stop();
    });
  }
}
