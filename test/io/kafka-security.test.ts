/**
 * TLS and logins: what options take, and what happens with real listeners. The certificates are made by openssl for each run; without
 * it the tests that need them are skipped (in CI they fail).
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test, { type TestContext } from 'node:test';
import { MillraceError } from '../../core/index.ts';
import { type KafkaConnectionOptions, kafka } from '../../io/kafka/index.ts';
import { ownBroker } from '../kafka-broker.ts';
import { openStage, type Stage, textValue, until } from './kafka-fixture.ts';

const SECRET = 'canary-3f9a';

function codeOf(error: unknown): string {
  return error instanceof MillraceError ? error.code : `not a MillraceError: ${error}`;
}

const plain = { brokers: ['127.0.0.1:9092'], topic: 't', group: 'g', value: textValue };
const login = { mechanism: 'scram-sha-512', username: 'alice', password: SECRET };

/** The message with which these options are refused; '' when they are taken. No message may show the secret. */
function refusal(options: object, to: 'source' | 'sink' = 'source'): string {
  const { group: _, ...forSink } = plain;
  try {
    if (to === 'source') kafka.source({ ...plain, ...options } as never);
    else kafka.sink({ ...forSink, ...options } as never);
    return '';
  } catch (error) {
    assert.equal(codeOf(error), 'ERR_MILLRACE_OPTION');
    assert.ok(!String(error).includes(SECRET), 'the message shows the secret');
    return (error as Error).message;
  }
}

test('options that do not exist are refused by name, with the nearest', () => {
  const cases: [object, 'source' | 'sink', RegExp][] = [
    [{ fromBegining: false }, 'source', /no option "fromBegining"\. Did you mean fromBeginning\?/],
    [{ pattern: /x/ }, 'source', /no option "pattern"\. The options are: /],
    [{ topics: ['a'] }, 'source', /no option "topics"\. Did you mean topic\?/],
    [{ keys: 'k' }, 'sink', /no option "keys"\. Did you mean key\?/],
    [{ compressed: 'gzip' }, 'sink', /no option "compressed"\. Did you mean compression\?/],
    [{ compression: 'brotli' }, 'sink', /compression is "brotli"; it can be /],
    [{ group: 'g' }, 'sink', /no option "group"/],
    [{ createTopic: { partition: 3 } }, 'sink', /createTopic: there is no option "partition"\. Did you mean partitions\?/],
    [{ createTopic: { partitions: 0 } }, 'sink', /createTopic: partitions is 0/],
    [{ ssl: 'yes' }, 'source', /ssl is "yes"; it can be true, false, or the options of tls\.connect/],
    [{ ssl: 1 }, 'sink', /ssl is a number/],
    [{ sasl: { ...login, mechanism: 'plainn' } }, 'sink', /sasl\.mechanism is "plainn"\. Did you mean plain\?/],
    [{ sasl: { ...login, mechanism: 'kerberos' } }, 'source', /sasl\.mechanism is "kerberos"\. It can be plain, scram-sha-256/],
    [{ sasl: { ...login, user: 'alice' } }, 'source', /sasl: there is no option "user"\. Did you mean username\?/],
    [{ sasl: { mechanism: 'scram-sha-512', username: 'alice' } }, 'source', /sasl\.password is missing/],
    [{ sasl: { ...login, username: '' } }, 'source', /sasl\.username is empty/],
    [{ sasl: SECRET }, 'source', /sasl has no mechanism/],
    [{ fromBeginning: 'no' }, 'source', /fromBeginning is "no"/],
    [{ value: undefined }, 'source', /value is undefined; it has to be a codec/],
    [{ brokerTimeout: -1 }, 'sink', /brokerTimeout is -1/],
  ];
  for (const [options, to, message] of cases) assert.match(refusal(options, to), message);
  for (const nothing of [undefined, null, 'x']) assert.throws(() => kafka.source(nothing as never), { code: 'ERR_MILLRACE_OPTION' });
  assert.equal(refusal({ sasl: login }), '');
  assert.equal(refusal({ sasl: { ...login, mechanism: 'SCRAM-SHA-256' } }, 'sink'), '');
});

test('a secret that would go over the network as it is, is refused, unless allowInsecure says so', () => {
  for (const sasl of [
    { mechanism: 'plain', username: 'alice', password: SECRET },
    { mechanism: 'PLAIN', username: 'alice', password: SECRET },
    { mechanism: 'oauthbearer', oauthBearerProvider: async () => ({ value: SECRET }) },
    { mechanism: 'aws', authorizationIdentity: 'x', accessKeyId: 'y', secretAccessKey: SECRET },
  ]) {
    assert.match(refusal({ sasl }), /sends the secret as it is, and ssl is not set/);
    assert.match(refusal({ sasl, ssl: false }, 'sink'), /sends the secret as it is/);
    assert.equal(refusal({ sasl, ssl: true }), '');
    assert.equal(refusal({ sasl, allowInsecure: true }), '');
  }
});

test('a broker whose certificate nobody checks is refused, or warned of', async (t) => {
  assert.match(refusal({ ssl: { rejectUnauthorized: false } }), /rejectUnauthorized is false/);
  const warnings: string[] = [];
  const listen = (warning: Error) => void warnings.push(warning.message);
  process.on('warning', listen);
  t.after(() => process.removeListener('warning', listen));
  assert.equal(refusal({ ssl: { rejectUnauthorized: false }, allowInsecure: true }), '');
  await until('the warning', () => warnings.length > 0);
  assert.match(warnings[0] as string, /certificate is not checked/);
});

test('a login in a broker address is refused, and not shown', () => {
  for (const broker of [`alice:${SECRET}@localhost:9092`, `kafka://alice:${SECRET}@localhost:9092`, `sasl_ssl://a:${SECRET}@h`]) {
    assert.match(refusal({ brokers: [broker] }), /the broker address "\*\*\*@.* is not host:port.* A login goes into the sasl option/);
  }
  assert.match(refusal({ brokers: `alice:${SECRET}@localhost:9092` }), /brokers is "\*\*\*@localhost:9092"/);
});

interface Certificates {
  readonly ca: string;
  /** PEM of key and certificate, by kind. */
  file(kind: 'good' | 'expired' | 'other-host' | 'self-signed'): string;
}

/** An authority, and certificates of it that are as they should be, too old, for another host; and one that nobody signed. */
function certificates(t: TestContext): Certificates | undefined {
  if (spawnSync('openssl', ['version']).status !== 0) {
    if (process.env['CI'] === 'true') throw new Error('openssl is not there: the TLS tests need it.');
    t.skip('No openssl: install it to test TLS.');
    return undefined;
  }
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-tls-'));
  t.after(() => fs.rmSync(dir, { recursive: true }));
  const at = (name: string) => path.join(dir, name);
  const openssl = (...args: string[]) => {
    const { status, stderr } = spawnSync('openssl', args, { encoding: 'utf8', cwd: dir });
    assert.equal(status, 0, stderr);
  };
  const key = (name: string) => openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', at(`${name}.key`));
  key('ca');
  openssl('req', '-x509', '-new', '-key', at('ca.key'), '-subj', '/CN=millrace test', '-days', '30', '-out', at('ca.crt'));
  // `openssl ca` takes dates; that of `x509` which signs does not, in the versions that are common.
  fs.writeFileSync(
    at('ca.cnf'),
    `[ca]\ndefault_ca=d\n[d]\nnew_certs_dir=${dir}\ndatabase=${at('index')}\nserial=${at('serial')}\ncertificate=${at('ca.crt')}\nprivate_key=${at('ca.key')}\ndefault_md=sha256\npolicy=p\ncopy_extensions=copy\nunique_subject=no\n[p]\ncommonName=supplied\n`,
  );
  fs.writeFileSync(at('index'), '');
  fs.writeFileSync(at('serial'), '01\n');
  const join = (name: string) => fs.writeFileSync(at(`${name}.pem`), fs.readFileSync(at(`${name}.key`), 'utf8') + fs.readFileSync(at(`${name}.crt`), 'utf8'));
  const signed = (name: string, host: string, from: string, to: string) => {
    key(name);
    openssl('req', '-new', '-key', at(`${name}.key`), '-subj', `/CN=${host}`, '-addext', `subjectAltName=DNS:${host}`, '-out', at(`${name}.csr`));
    openssl('ca', '-batch', '-notext', '-config', at('ca.cnf'), '-startdate', from, '-enddate', to, '-in', at(`${name}.csr`), '-out', at(`${name}.crt`));
    join(name);
  };
  signed('good', 'localhost', '20200101000000Z', '21000101000000Z');
  signed('expired', 'localhost', '20200101000000Z', '20210101000000Z');
  signed('other-host', 'broker.example.com', '20200101000000Z', '21000101000000Z');
  key('self-signed');
  openssl(
    'req',
    '-x509',
    '-new',
    '-key',
    at('self-signed.key'),
    '-subj',
    '/CN=localhost',
    '-addext',
    'subjectAltName=DNS:localhost',
    '-days',
    '30',
    '-out',
    at('self-signed.crt'),
  );
  join('self-signed');
  return { ca: fs.readFileSync(at('ca.crt'), 'utf8'), file: (kind) => at(`${kind}.pem`) };
}

test('real listeners: certificates that are right and wrong, logins that are right and wrong', { timeout: 180_000 }, async (t) => {
  const made = certificates(t);
  if (made === undefined) return;
  const tls = (kind: Parameters<Certificates['file']>[0]) => ({
    protocol: 'SSL',
    properties: { 'ssl.keystore.type': 'PEM', 'ssl.keystore.location': made.file(kind) },
  });
  const jaas = 'org.apache.kafka.common.security';
  const logins = {
    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-512',
    'plain.sasl.jaas.config': `${jaas}.plain.PlainLoginModule required user_alice="${SECRET}";`,
    'scram-sha-512.sasl.jaas.config': `${jaas}.scram.ScramLoginModule required;`,
  };
  const broker = await ownBroker(t, {
    listeners: {
      GOOD: tls('good'),
      EXPIRED: tls('expired'),
      OTHERHOST: tls('other-host'),
      SELFSIGNED: tls('self-signed'),
      LOGIN: { protocol: 'SASL_SSL', properties: { ...tls('good').properties, ...logins } },
      OPENLOGIN: { protocol: 'SASL_PLAINTEXT', properties: logins },
    },
    scramUsers: [`SCRAM-SHA-512=[name=alice,password=${SECRET}]`],
  });
  if (broker === undefined) return;
  const stage = (await openStage(t, [broker.brokers])) as Stage;
  const topic = await stage.topic(1);
  await stage.producer.send({ topic, messages: [{ value: 'row' }] });
  const { ca } = made;
  let groups = 0;
  const open = (listener: string, options: Partial<KafkaConnectionOptions>) =>
    stage.open({ topic, group: `g${groups++}`, brokers: [broker.listeners[listener] as string], ...options } as never, { drain: true });
  const reads = async (listener: string, options: Partial<KafkaConnectionOptions>) => {
    const reading = await open(listener, options);
    await until(`the row by ${listener}`, () => reading.ended.size === reading.reader.partitionCount || reading.failures.length > 0);
    assert.deepEqual(reading.failures, []);
    assert.deepEqual(reading.values(), ['row']);
  };
  const fails = (listener: string, options: Partial<KafkaConnectionOptions>, message: RegExp) =>
    assert.rejects(open(listener, options), (error: Error) => {
      assert.ok(!`${error.stack}${JSON.stringify(error)}`.includes(SECRET), 'the error shows the secret');
      assert.match(error.message, message);
      return codeOf(error) === 'ERR_MILLRACE_BROKER';
    });

  await reads('GOOD', { ssl: { ca } });
  await fails('GOOD', { ssl: true }, /no TLS connection .*(self.signed|UNABLE_TO)/i);
  await fails('EXPIRED', { ssl: { ca } }, /no TLS connection .*CERT_HAS_EXPIRED/);
  await fails('OTHERHOST', { ssl: { ca } }, /no TLS connection .*ERR_TLS_CERT_ALTNAME_INVALID/);
  await fails('SELFSIGNED', { ssl: { ca } }, /no TLS connection .*DEPTH_ZERO_SELF_SIGNED_CERT/);
  await reads('SELFSIGNED', { ssl: { rejectUnauthorized: false }, allowInsecure: true });
  await fails('GOOD', { brokerTimeout: 1_000 }, /set the ssl option if it takes TLS only/);

  const alice = { username: 'alice', password: SECRET };
  await reads('LOGIN', { ssl: { ca }, sasl: { mechanism: 'plain', ...alice } });
  await reads('LOGIN', { ssl: { ca }, sasl: { mechanism: 'scram-sha-512', ...alice } });
  await reads('OPENLOGIN', { sasl: { mechanism: 'scram-sha-512', ...alice } });
  await reads('OPENLOGIN', { allowInsecure: true, sasl: { mechanism: 'plain', ...alice } });
  for (const wrong of [
    { username: 'alice', password: `not-${SECRET}` },
    { username: 'mallory', password: SECRET },
  ]) {
    await fails('LOGIN', { ssl: { ca }, sasl: { mechanism: 'plain', ...wrong } }, /refuses the login/);
    await fails('LOGIN', { ssl: { ca }, sasl: { mechanism: 'scram-sha-512', ...wrong } }, /refuses the login/);
  }
});
