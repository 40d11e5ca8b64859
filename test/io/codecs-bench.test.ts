/** The benches of the codecs verify their own answers; here at their tiny size, with the kernels and without. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { TYPESCRIPT } from '../typescript.ts';

for (const kernels of ['', 'typescript']) {
  test(`bench/micro/codecs.ts --tiny${kernels ? ` (MILLRACE_KERNELS=${kernels})` : ''}`, () => {
    const file = fileURLToPath(new URL('../../bench/micro/codecs.ts', import.meta.url));
    const out = execFileSync(process.execPath, [...TYPESCRIPT, file, '--tiny'], { encoding: 'utf8', env: { ...process.env, MILLRACE_KERNELS: kernels } });
    assert.equal(out.trim(), 'verified');
  });
}

test('bench/micro/binary-codecs.ts --tiny', () => {
  const file = fileURLToPath(new URL('../../bench/micro/binary-codecs.ts', import.meta.url));
  assert.equal(execFileSync(process.execPath, [...TYPESCRIPT, file, '--tiny'], { encoding: 'utf8' }).trim(), 'verified');
});
