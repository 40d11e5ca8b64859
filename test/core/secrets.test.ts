/** Secrets are masked: those that are known by value, in every form in which a text may have them; and those that show by their form. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dataWithoutSecrets, keepSecret, keepSecretsOf, MASK, MillraceError, shown, withoutSecrets } from '../../core/index.ts';
import { caseCount, fc } from '../seed.ts';

test('a value that is known is masked wherever it stands, also as JSON and URLs write it', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 8, maxLength: 40 }), fc.string({ maxLength: 20 }), fc.string({ maxLength: 20 }), (word, before, after) => {
      const secret = `k-${word}-k`;
      keepSecret(secret);
      for (const text of [secret, JSON.stringify({ at: secret })]) {
        assert.ok(!withoutSecrets(`${before}${text}${after}`).includes(secret));
        assert.ok(!withoutSecrets(`${before}${text}${after}`).includes(JSON.stringify(secret).slice(1, -1)));
      }
    }),
    { numRuns: caseCount(100) },
  );
});

test('short values are left alone by value: they are words', () => {
  keepSecret('on');
  assert.equal(withoutSecrets('nothing goes on'), 'nothing goes on');
});

test('what shows by its form', () => {
  const cases: [string, string][] = [
    ['postgres://anna:pa55@db:5432/x', `postgres://anna:${MASK}@db:5432/x`],
    ['host=db password=pa55 user=anna', `host=db password=${MASK} user=anna`],
    ['http://x/y?access_token=abc.def&z=1', `http://x/y?access_token=${MASK}&z=1`],
    ['{"sasl":{"username":"anna","password":"pa\\"55"}}', `{"sasl":{"username":"anna","password":"${MASK}"}}`],
    ['authorization: Bearer abcdefgh1234', `authorization: Bearer ${MASK}`],
    ['-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----', MASK],
    ['Unexpected token } in JSON at position 3', 'Unexpected token } in JSON at position 3'],
    ['page=/a key=b at http://host:80/x', 'page=/a key=b at http://host:80/x'],
  ];
  for (const [text, expected] of cases) assert.equal(withoutSecrets(text), expected);
});

test('options: by the names of secrets, at any depth; each line of a key', () => {
  keepSecretsOf({ a: [{ secretAccessKey: 'AKIA/deep+secret' }], username: 'anna-maria', ssl: { passphrase: 'open-sesame' } });
  assert.equal(withoutSecrets('anna-maria said open-sesame, AKIA/deep+secret, AKIA%2Fdeep%2Bsecret'), `anna-maria said ${MASK}, ${MASK}, ${MASK}`);
  keepSecret(new TextEncoder().encode('-----BEGIN X-----\nMIIEowIBAAKCAQEAxyz\n-----END X-----'));
  assert.equal(withoutSecrets('read MIIEowIBAAKCAQEAxyz'), `read ${MASK}`);
});

test('errors, shown values and data have none', () => {
  keepSecret('correct horse');
  assert.equal(new MillraceError('ERR_MILLRACE_OPTION', 'x is correct horse').message, `x is ${MASK}`);
  assert.equal(shown({ user: 'anna', password: 'a' }), `{"user":"anna","password":"${MASK}"}`);
  // Masked before it is cut: what is left of a secret would not be known.
  assert.ok(!shown(`${'x'.repeat(70)}correct horse`).includes('corr'));
  const circle: Record<string, unknown> = { token: 'a', at: new Date(0), error: new Error('correct horse'), list: ['correct horse', 1] };
  circle['self'] = circle;
  assert.deepEqual(dataWithoutSecrets(circle), { token: MASK, at: new Date(0), error: MASK, list: [MASK, 1], self: '(a circle)' });
});
