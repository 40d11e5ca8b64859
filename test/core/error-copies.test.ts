/** A process may have two copies of the package: what one throws, the other knows. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MillraceError } from '../../core/index.ts';

test('an error of another copy of the package is one of ours', async () => {
  const other = (await import(`${new URL('../../core/errors.ts', import.meta.url).href}?copy`)) as { MillraceError: typeof MillraceError };
  assert.notEqual(other.MillraceError, MillraceError);
  assert.ok(new other.MillraceError('ERR_MILLRACE_OPTION', 'x') instanceof MillraceError);
  assert.ok(new MillraceError('ERR_MILLRACE_OPTION', 'x') instanceof other.MillraceError);
  for (const not of [new Error('x'), { code: 'ERR_MILLRACE_OPTION' }, null, undefined, 'ERR_MILLRACE_OPTION']) assert.ok(!(not instanceof MillraceError));
});
