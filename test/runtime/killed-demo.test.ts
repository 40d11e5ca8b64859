/** `demo --kill-every`: the job of `npm start`, killed in front of the user's eyes, and right in the end. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runCli } from './cli-process.ts';

const KILLS = 2;

test('the demo survives kill -9, and its result is right', async (t) => {
  // So many rows that the job outlives two kills. Each comes as soon as a process has got on, which it must: none is too early for that.
  const { code, stdout, stderr } = await runCli(['demo', '--rows', '3000000', '--workers', '1', '--kill-every', '1ms', '--kills', String(KILLS), '--json']);
  assert.equal(code, 0, stderr);
  const result = JSON.parse(stdout) as { verified: boolean; kills: number; recoverySeconds: number[] };
  assert.equal(result.verified, true);
  assert.equal(result.kills, KILLS, stderr);
  assert.match(stderr, /kill 2: process \d+, .* is gone; checkpoint \d+ is the last/);
  assert.match(stderr, /goes on from checkpoint \d+/);
  assert.match(stderr, /2 kills, no result lost, none twice/);
  t.diagnostic(`recovery ${result.recoverySeconds.map((seconds) => seconds.toFixed(2)).join(', ')} s`);
});

test('a job that is over before anybody is killed claims nothing', async () => {
  const { code, stdout } = await runCli(['demo', '--rows', '1000', '--workers', '1', '--kill-every', '10m']);
  assert.equal(code, 0);
  assert.match(stdout, /^0 kills: the job was over before its time\. Give more --rows/m);
  assert.doesNotMatch(stdout, /no result lost/);
});

test('what it does not go with', async () => {
  const { code, stderr } = await runCli(['demo', '--kill-every', '1s', '--brokers', '127.0.0.1:1']);
  assert.equal(code, 2);
  assert.match(stderr, /--kill-every goes without --brokers/);
});
