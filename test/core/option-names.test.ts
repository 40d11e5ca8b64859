/** Misspelt options are refused by name, with the nearest one that there is. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkOptionNames, MillraceError, nearNames } from '../../core/index.ts';

interface Options {
  readonly topic: string;
  readonly fromBeginning?: boolean;
  readonly key?: string;
  readonly sessionTimeout?: number;
}

const known = { topic: true, fromBeginning: true, key: true, sessionTimeout: true } as const;

const refused = (options: unknown, message: RegExp) =>
  assert.throws(
    () => checkOptionNames('kafka clicks', options as Options, known),
    (error: unknown) => error instanceof MillraceError && error.code === 'ERR_MILLRACE_OPTION' && message.test(error.message),
  );

test('known options pass, whatever their values', () => {
  checkOptionNames<Options>('kafka clicks', { topic: 't' }, known);
  checkOptionNames<Options>('kafka clicks', { topic: 't', fromBeginning: false, key: 'k', sessionTimeout: Number.NaN }, known);
});

test('a name that does not exist is refused, with the nearest', () => {
  refused({ topic: 't', fromBegining: false }, /^kafka clicks: there is no option "fromBegining"\. Did you mean fromBeginning\?$/);
  refused({ keys: 'k' }, /"keys"\. Did you mean key\?/);
  refused({ TOPIC: 't' }, /"TOPIC"\. Did you mean topic\?/);
  refused({ frombeginning: undefined }, /Did you mean fromBeginning\?/);
});

test('a name near to none is refused with the list of all', () => {
  refused({ compression: 'gzip' }, /"compression"\. The options are: topic, fromBeginning, key, sessionTimeout\./);
});

test('names of the prototype are names like any other', () => {
  for (const name of ['constructor', 'toString', 'hasOwnProperty']) refused({ [name]: 1 }, new RegExp(`no option "${name}"`));
  refused(JSON.parse('{"__proto__": 1}'), /no option "__proto__"/);
});

test('what is no object has no options', () => {
  for (const options of [undefined, null, 'clicks', 5, ['topic'], () => {}]) refused(options, /the options are .*; they have to be an object/);
});

test('near names: typos and parts, the nearest first', () => {
  const names = ['clicks', 'clicks-per-page', 'orders', 'click'];
  assert.deepEqual(nearNames('clikcs', names), ['click', 'clicks']);
  assert.deepEqual(nearNames('clicks-per', names), ['clicks', 'click', 'clicks-per-page']);
  assert.deepEqual(nearNames('payments', names), []);
});
