/**
 * Secrets: passwords, keys and tokens that came with options. They are known by value, so that no message, log
 * line or metric shows one, whoever wrote the text; and by form, where nobody has named them: the password in a
 * URL, `password=...`, a private key.
 *
 * The known values are those of the process (of each thread, as each imports the pipeline). There are few.
 */

/** What stands in place of a secret. */
export const MASK = '***';
/** Shorter values are masked by form only: `test` as a password would take that word out of every message. */
const CHARS_MIN = 6;
/** Of a text of several lines (a PEM key), so long ones count by themselves: lines may be joined or escaped. */
const LINE_CHARS_MIN = 16;

const known = new Set<string>();

/** Names of options and fields whose value is a secret. */
const NAME = /(?:pass(?:word|wd|phrase)?|pwd|secret|token|credentials?|authorization|api[-_]?key|access[-_]?key|private[-_]?key)$/i;

/** `scheme://user:password@host` */
const IN_URL = /\b([a-z][a-z0-9+.-]*:\/\/[^\s:@/?#]*):[^\s@/]+@/gi;
/** `password=...` as in connection strings and queries; `"password": "..."` as in JSON. */
const ASSIGNED = /\b([\w-]*(?:password|passwd|passphrase|pwd|secret|token|api[-_]?key|access[-_]?key))=[^\s&;,'")}]+/gi;
const IN_JSON = /("[\w.-]*(?:password|passwd|passphrase|pwd|secret|token|api[-_]?key|access[-_]?key|private[-_]?key)"\s*:\s*)"(?:[^"\\]|\\.)*"/gi;
const LOGIN = /\b(Bearer|Basic) [\w.~+/=-]{8,}/g;
const PRIVATE_KEY = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g;

/**
 * Remembers a secret, so that it is masked wherever its text turns up: a text, bytes, or a list of such. Other
 * values are no secrets. Texts of less than 6 characters are not remembered.
 */
export function keepSecret(value: unknown): void {
  if (Array.isArray(value)) for (const one of value) keepSecret(one);
  else if (value instanceof Uint8Array) keepSecret(new TextDecoder('latin1').decode(value));
  else if (typeof value === 'string') {
    remember(value, CHARS_MIN);
    if (value.includes('\n')) for (const line of value.split(/\r?\n/)) if (!line.startsWith('-----')) remember(line, LINE_CHARS_MIN);
  }
}

/** Remembers what an object of options has under names of secrets (`password`, `secretAccessKey`), at any depth. */
export function keepSecretsOf(options: unknown): void {
  eachSecret(options, keepSecret, new Set());
}

/** The text, with {@link MASK} in place of every secret that is known, or that shows by its form. */
export function withoutSecrets(text: string): string {
  let masked = text;
  for (const secret of known) if (masked.includes(secret)) masked = masked.replaceAll(secret, MASK);
  if (masked.includes('://')) masked = masked.replace(IN_URL, `$1:${MASK}@`);
  if (masked.includes('=')) masked = masked.replace(ASSIGNED, `$1=${MASK}`);
  if (masked.includes('":') || masked.includes('" :')) masked = masked.replace(IN_JSON, `$1"${MASK}"`);
  if (masked.includes('PRIVATE KEY')) masked = masked.replace(PRIVATE_KEY, MASK);
  return masked.replace(LOGIN, `$1 ${MASK}`);
}

/** Whether a field of this name holds a secret. */
export function isSecretName(name: string): boolean {
  return NAME.test(name);
}

/** Plain data with its texts masked, and with {@link MASK} for whatever stands under the name of a secret. */
export function dataWithoutSecrets<T>(data: T): T {
  return masked(data, new Set()) as T;
}

function masked(value: unknown, around: Set<object>): unknown {
  if (typeof value === 'string') return withoutSecrets(value);
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array || value instanceof Date) return value;
  if (around.has(value)) return '(a circle)';
  if (value instanceof Error) return withoutSecrets(value.message);
  around.add(value);
  const result = Array.isArray(value)
    ? value.map((one) => masked(one, around))
    : Object.fromEntries(
        Object.entries(value).map(([name, one]) => [name, isSecretName(name) && one !== undefined && one !== null ? MASK : masked(one, around)]),
      );
  around.delete(value);
  return result;
}

function eachSecret(value: unknown, take: (secret: unknown) => void, seen: Set<object>): void {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array || seen.has(value)) return;
  seen.add(value);
  for (const [name, one] of Object.entries(value)) {
    if (isSecretName(name)) take(one);
    else eachSecret(one, take, seen);
  }
}

/** The text, and how it looks in JSON and in a URL. */
function remember(text: string, charsMin: number): void {
  if (text.trim().length < charsMin) return;
  for (const form of [text, JSON.stringify(text).slice(1, -1), encodeURIComponent(toWellFormed(text))]) known.add(form);
}

/** A lone half of a pair of surrogates cannot stand in a URL. */
function toWellFormed(text: string): string {
  return text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, '\ufffd');
}
