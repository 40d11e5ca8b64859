/**
 * The check of `ssl` and `sasl`: a login must be complete, and nothing exposes secrets unless `allowInsecure`
 * permits it. No message shows a password, a key or a token.
 */

import { checkOptionNames, keepSecret, keepSecretsOf, MillraceError, nearNames, shown } from '../../core/index.ts';
import type { KafkaConnectionOptions } from './connection/index.ts';

type Fields = Readonly<Record<string, 'text' | 'function' | 'optional'>>;

/** What the login needs, by mechanism. */
const MECHANISMS: ReadonlyMap<string, Fields> = new Map<string, Fields>([
  ['plain', { username: 'text', password: 'text' }],
  ['scram-sha-256', { username: 'text', password: 'text' }],
  ['scram-sha-512', { username: 'text', password: 'text' }],
  ['aws', { authorizationIdentity: 'text', accessKeyId: 'text', secretAccessKey: 'text', sessionToken: 'optional' }],
  ['oauthbearer', { oauthBearerProvider: 'function' }],
]);
/** These send the secret itself; the others only prove that they know it. */
const SENDS_SECRET = new Set(['plain', 'aws', 'oauthbearer']);

/** @throws MillraceError ERR_MILLRACE_OPTION */
export function checkSecurity(what: string, options: KafkaConnectionOptions): void {
  const { ssl, sasl, allowInsecure } = options;
  keepSecretsOf(sasl);
  keepSecretsOf(ssl);
  if (typeof ssl === 'object' && ssl !== null) for (const name of ['key', 'pfx']) keepSecret(pemOf((ssl as Readonly<Record<string, unknown>>)[name]));
  if (allowInsecure !== undefined && typeof allowInsecure !== 'boolean')
    throw refused(what, `allowInsecure is ${shown(allowInsecure)}; it can be true or false.`);
  if (ssl !== undefined && typeof ssl !== 'boolean' && (typeof ssl !== 'object' || ssl === null || Array.isArray(ssl))) {
    throw refused(
      what,
      `ssl is ${typeof ssl === 'string' ? shown(ssl) : `a ${typeof ssl}`}; it can be true, false, or the options of tls.connect, such as { ca }.`,
    );
  }
  const isEncrypted = ssl !== undefined && ssl !== false;
  if (sasl !== undefined) checkLogin(what, sasl, isEncrypted || allowInsecure === true);
  if (typeof ssl === 'object' && (ssl as { rejectUnauthorized?: unknown }).rejectUnauthorized === false) {
    if (allowInsecure !== true) {
      throw refused(
        what,
        'ssl.rejectUnauthorized is false: anybody on the way could pass for the broker. Give the certificate authority instead, ssl: { ca: readFileSync(file) }, or set allowInsecure: true.',
      );
    }
    process.emitWarning(`${what}: the broker's certificate is not checked (ssl.rejectUnauthorized is false).`, 'MillraceWarning');
  }
}

/** A private key as `tls.connect` takes it: a text, bytes, a list of these, or objects that have it as `pem` or `buf`. */
function pemOf(key: unknown): unknown {
  if (Array.isArray(key)) return key.map(pemOf);
  const { pem, buf } = (typeof key === 'object' && key !== null ? key : {}) as { readonly pem?: unknown; readonly buf?: unknown };
  return pem ?? buf ?? key;
}

function checkLogin(what: string, sasl: unknown, maySendSecret: boolean): void {
  const mechanism = typeof sasl === 'object' && sasl !== null ? (sasl as { mechanism?: unknown }).mechanism : undefined;
  if (typeof mechanism !== 'string') {
    throw refused(what, `sasl has no mechanism; it has to be an object such as { mechanism: 'scram-sha-512', username, password }.`);
  }
  const login = sasl as Readonly<Record<string, unknown>>;
  if (typeof login['authenticationProvider'] === 'function') return;
  const fields = MECHANISMS.get(mechanism.toLowerCase());
  if (fields === undefined) {
    const names = [...MECHANISMS.keys()];
    const [near] = nearNames(mechanism, names);
    throw refused(what, `sasl.mechanism is ${shown(mechanism)}. ${near === undefined ? `It can be ${names.join(', ')}.` : `Did you mean ${near}?`}`);
  }
  checkOptionNames(`${what}, sasl`, login, { mechanism: true, ...Object.fromEntries(Object.keys(fields).map((name) => [name, true as const])) });
  for (const [name, kind] of Object.entries(fields)) {
    const value = login[name];
    if (
      kind === 'optional'
        ? value === undefined || typeof value === 'string'
        : kind === 'text'
          ? typeof value === 'string' && value !== ''
          : typeof value === kind
    )
      continue;
    throw refused(
      what,
      `sasl.${name} is ${value === undefined ? 'missing' : value === '' ? 'empty' : `a ${typeof value}`}; the mechanism ${mechanism} needs ${kind === 'function' ? 'a function' : 'a text'}.`,
    );
  }
  if (!SENDS_SECRET.has(mechanism.toLowerCase()) || maySendSecret) return;
  throw refused(
    what,
    `the mechanism ${mechanism} sends the secret as it is, and ssl is not set: anybody on the way could read it. Set ssl, use scram-sha-512, or set allowInsecure: true where the network is yours.`,
  );
}

function refused(what: string, message: string): MillraceError {
  return new MillraceError('ERR_MILLRACE_OPTION', `${what}: ${message}`);
}
