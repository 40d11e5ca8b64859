/**
 * Batches of JSON records for test/io/json-fuzz.test.ts, made of tokens and broken where a decoder is most
 * likely to be wrong: control bytes at the edges of tokens, keys that nearly are a column's, keys twice,
 * records that end too early and whose rest is the next record, UTF-8 faults, escapes, numbers at the edges
 * of types, nesting, and keys whose order stays or changes from record to record. Everything comes from the
 * random numbers given.
 */

import type { DataType, Rng, SchemaFields } from '../../core/index.ts';

const CONTROLS = [0x00, 0x00, 0x01, 0x08, 0x09, 0x0a, 0x0d, 0x1f, 0x20, 0x22, 0x2c, 0x30, 0x3a, 0x5b, 0x5c, 0x5d, 0x65, 0x7b, 0x7d, 0x7f, 0x80, 0xc0, 0xff];
const STRUCTURE = ['{', '}', '[', ']', ',', ':', '""', '0', 'true', 'null', ' ', '\n', '{}', '[]', '"s"', ',,', '::', '\u00a0', '\ufeff', '"', '\\'];
const UTF8_FAULTS = ['80', 'c0af', 'c3', 'e08080', 'eda080', 'edbfbf', 'f0808080', 'f4908080', 'f5808080', 'ff', 'e282', 'f09f98'].map((hex) =>
  Buffer.from(hex, 'hex'),
);
const NUMBERS = [
  ...['0', '-0', '-', '+1', '01', '00', '1.', '.5', '1..5', '1.2.3', '1e', '1e+', '1e5', '1E-5', '0e0', '-0.0', '0.5', '1e400', '1e-400', '-1e309', '5e-324'],
  ...['127', '128', '-128', '-129', '32767', '32768', '-32769', '2147483647', '2147483648', '-2147483648', '-2147483649', '4294967295', '4294967296', '-1'],
  ...['9007199254740991', '9007199254740992', '9007199254740993', '-9007199254740993', '9223372036854775807', '9223372036854775808', '-9223372036854775808'],
  ...['-9223372036854775809', '18446744073709551616', '123456789012345', '1234567890123456', '12345678901234567', '123456789012345678', '1234567890123456789'],
  ...['12345678901234567890', '0.1234567890123456789', '123.4567890123456789', '0.30000000000000004', '2.2250738585072011e-308', '1.7976931348623157e308'],
  ...[
    '1.7976931348623159e308',
    '0000000000000000',
    '1000000000000000000000',
    '1.0000000000000000000001',
    '1e22',
    '1e23',
    '8.98846567431158e307',
    '1e0001',
    '1e00000000',
  ],
  ...[
    '3.4028235677973366e38',
    '1.401298464324817e-45',
    '1e',
    'NaN',
    'Infinity',
    '0x10',
    '1_0',
    '1e1.5',
    '--1',
    '1-1',
    '16777217',
    '123456789.',
    '1234567.12345678901',
  ],
];
const TEXTS = [
  ...['', 'a', '/p', 'sixteen bytes ok', 'more than sixteen bytes', 'x'.repeat(31), 'x'.repeat(32), 'x'.repeat(33), 'größer', '😀', '日本', '\u2028', '\u007f'],
  ...[
    '\\n',
    '\\"',
    '\\\\',
    '\\/',
    '\\u0000',
    '\\u00e9',
    '\\ud83d\\ude00',
    '\\ud800',
    '\\udc00x',
    '\\ud800\\ud800',
    '\\x',
    '\\u12',
    '\\u12g4',
    '\\',
    '\\U0041',
    '\\ud83d\\n',
  ],
  ...['a\\\\', '\\\\\\"', '","ms":1,"s":"', '"}', '"}{"s":1', 'a fifteen bytes\\"', 'a text of 14 b\\\\', 'fifteen bytes ok\\', '\u0000', 'a\u001fb', 'a\nb'],
  ...[
    '2024-02-29T23:59:59.123Z',
    '2023-02-29T00:00:00Z',
    '1969-12-31 23:59:59Z',
    '1969-12-31 23:59:59',
    '2024-02-29T12:00:00.25',
    '2024-02-29T12:00:00.',
    '2024-12-31',
    '2024-01-01T10:00+05:30',
    '2024-13-01T00:00:00Z',
    '0000-03-01T00:00:00.5Z',
  ],
  ...['2024-01-01T24:00:00Z', '+275760-09-13T00:00:00.000Z', 'aGVsbG8=', 'aGVsbG8', '_-8=', 'aGVsbG9=', 'a', '===='],
];

const ORDINARY = ['1', '-2.5', '"x"', 'true', 'null', '[1,{"a":"}"}]', '{}', '{"a":[1,2]}', '"a text, longer than sixteen bytes"'];

/** Draws batches of records for one schema. */
export class JsonMutator {
  readonly #random: Rng;
  readonly #fields: readonly (readonly [string, string])[];
  /** Keys, as text between quotes: of columns, nearly of columns, of none. */
  readonly #keys: readonly string[];
  #order: string[] = [];
  /** How often a value of the present record is one at the edge. */
  #edge = 0;

  constructor(random: Rng, fields: SchemaFields) {
    this.#random = random;
    this.#fields = Object.entries(fields).map(([name, type]) => [JSON.stringify(name).slice(1, -1), (type as DataType).name]);
    this.#keys = this.#fields.map(([name]) => name);
  }

  /** Some records. Their order of keys goes on from the last batch, or not. */
  batch(countMax: number): Buffer[] {
    const random = this.#random;
    const count = 1 + random.int(countMax);
    const trouble = random.pick([0, 0.02, 0.1, 0.5]);
    const records: Buffer[] = [];
    while (records.length < count) {
      if (this.#order.length === 0 || random.chance(0.05)) this.#order = this.#newOrder();
      const tokens = this.#record(trouble);
      if (random.chance(trouble)) this.#breakTokens(tokens);
      let bytes: Buffer = Buffer.concat(tokens);
      if (random.chance(trouble)) bytes = this.#breakBytes(bytes);
      if (!random.chance(trouble * 0.4)) {
        records.push(bytes);
        continue;
      }
      // The record ends at a token or in one; what follows is nothing, or the next record.
      let at = random.int(bytes.length + 1);
      if (random.chance(0.7)) {
        at = 0;
        for (let left = random.int(tokens.length + 1), t = 0; left > 0; left--) at += tokens[t++]?.length ?? 0;
      }
      records.push(bytes.subarray(0, at));
      if (random.chance(0.6)) records.push(bytes.subarray(at));
    }
    return records;
  }

  #newOrder(): string[] {
    const random = this.#random;
    const order = this.#keys.filter(() => random.chance(0.8));
    for (let more = random.int(4); more > 0; more--) order.push(this.#strangeKey());
    for (let i = order.length - 1; i > 0 && random.chance(0.8); i--) {
      const j = random.int(i + 1);
      [order[i], order[j]] = [order[j] as string, order[i] as string];
    }
    if (order.length > 0 && random.chance(0.1)) order.push(random.pick(order));
    return order;
  }

  /**
   * A key that is nearly one of a column: where a decoder compares words, lengths or hashes it may take the
   * one for the other.
   */
  #strangeKey(): string {
    const random = this.#random;
    const key = this.#keys.length > 0 ? random.pick(this.#keys) : 'k';
    switch (random.int(12)) {
      case 0:
        return `${key}${'\u0000'.repeat(1 + random.int(3))}`;
      case 1:
        return key.padEnd(random.pick([8, 15, 16, 17]), '\u0000');
      case 2:
        return key.slice(0, -1);
      case 3:
        return `${key}${random.pick(['s', ' ', '"', '\\', 'é', '\\"', '\\u0000'])}`;
      case 4:
        return key.length >= 8 ? key.slice(0, 8) + key.slice(-8) : `${key}${key}`;
      case 5:
        return key.length >= 8 ? key.slice(0, 8) + random.pick(['', 'x', 'xxxxxxxx', 'an inner part of a key']) + key.slice(-8) : key.toUpperCase();
      case 6:
        return key.replace(/^./u, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
      case 7:
        return random.pick(['', '__proto__', 'unknown', 'not wanted, and longer than sixteen bytes', 'x'.repeat(80)]);
      case 8:
        return `unknown${random.int(30)}`;
      case 9:
        return ` ${key}`;
      case 10:
        return key.length > 0 ? key.slice(0, -1) + random.pick(['\u0000', '\u0001', 'z', 'ÿ']) : '\u0000';
      default:
        return random.pick(TEXTS);
    }
  }

  /** The tokens of a record, in the order of keys that is now the usual one. */
  #record(trouble: number): Buffer[] {
    const random = this.#random;
    this.#edge = random.chance(trouble + 0.1) ? 1 : 0;
    const gap = random.chance(0.15) ? () => random.pick(['', '', ' ', '  ', '\n', '\t\r\n ', ' '.repeat(20)]) : () => '';
    const keys = this.#order.filter(() => !random.chance(0.03));
    if (random.chance(trouble)) keys.splice(random.int(keys.length + 1), 0, random.chance(0.4) ? this.#strangeKey() : random.pick([...this.#keys, 'x']));
    if (random.chance(0.05)) keys.reverse();
    if (random.chance(trouble * 0.3)) keys.push(...keys);
    const tokens: string[] = [gap(), random.chance(trouble * 0.3) ? random.pick([',', '', '[', '{{', '{,', ',{', ':']) : '{'];
    keys.forEach((key, i) => {
      const type = this.#fields.find(([name]) => name === key)?.[1];
      if (i > 0) tokens.push(gap(), ',');
      tokens.push(gap(), `"${key}"`, gap(), ':', gap(), this.#value(random.chance(trouble * 0.3) ? undefined : type, 0));
    });
    tokens.push(gap(), '}', gap());
    return tokens.filter((token) => token !== '').map((token) => Buffer.from(token));
  }

  #value(type: string | undefined, depth: number): string {
    const random = this.#random;
    if (random.chance(0.03)) return 'null';
    const edge = this.#edge;
    const number = (magnitude: number): string => String(random.int(2 * magnitude) - magnitude);
    switch (type) {
      case 'utf8':
        return `"${random.chance(1 - 0.3 * edge) ? '/page/'.repeat(random.int(6)) + random.int(1000) : random.pick(TEXTS)}"`;
      case 'bool':
        return random.pick(['true', 'false']);
      case 'i8':
        return edge > 0 ? number(130) : String(random.int(100));
      case 'f32':
      case 'f64':
        return random.chance(0.2)
          ? random.pick(NUMBERS)
          : random.chance(0.3)
            ? String((random() - 0.5) * 10 ** random.int(40))
            : `${random.int(9999)}.${random.int(9999)}`;
      case 'timestamp':
        return random.chance(0.3 * edge) ? `"${random.pick(TEXTS)}"` : String(1.7e12 + random.int(1e9));
      case 'binary':
        return `"${random.chance(1 - 0.4 * edge) ? Buffer.from(number(1e6)).toString('base64') : random.pick(TEXTS)}"`;
      case undefined:
        return this.#anyValue(depth);
      default:
        return random.chance(0.15 * edge) ? random.pick(NUMBERS) : String(random.int(30_000));
    }
  }

  #anyValue(depth: number): string {
    const random = this.#random;
    if (this.#edge === 0) return random.pick(ORDINARY);
    const kind = random.int(depth > 3 ? 4 : 6);
    if (kind === 0) return random.pick(NUMBERS);
    if (kind === 1) return `"${random.pick(TEXTS)}"`;
    if (kind === 2) return random.pick(['true', 'false', 'null', 'tru', 'nul', 'falsy', 'trueish', 'nullnull', '']);
    if (kind === 3) return String(random.int(1000));
    const parts = Array.from({ length: random.int(4) }, () => this.#anyValue(depth + 1));
    if (kind === 4) return random.chance(0.05) ? `${'['.repeat(70)}${']'.repeat(70)}` : `[${parts.join(random.chance(0.95) ? ',' : ',,')}]`;
    return `{${parts.map((part) => `"${random.pick(TEXTS)}":${part}`).join(',')}}`;
  }

  #breakTokens(tokens: Buffer[]): void {
    const random = this.#random;
    for (let more = 1 + random.int(2); more > 0 && tokens.length > 0; more--) {
      const at = random.chance(0.2) ? 0 : random.int(tokens.length);
      const token = tokens[at] as Buffer;
      switch (random.int(8)) {
        case 0:
          tokens.splice(at, 1);
          break;
        case 1:
          tokens.splice(at, 0, token);
          break;
        case 2:
          [tokens[at], tokens[tokens.length - 1]] = [tokens[tokens.length - 1] as Buffer, token];
          break;
        case 3:
          tokens[at] = Buffer.from(random.pick(STRUCTURE));
          break;
        case 4:
          tokens.splice(at, 0, Buffer.from(random.pick(STRUCTURE)));
          break;
        case 5: // A whole member again, or without its comma.
          tokens.splice(at, 0, ...tokens.slice(Math.max(at - 4, 1), at));
          break;
        default: {
          // A byte at the edge of a token, or within its quotes.
          const edge = random.pick([0, 1, token.length - 1, token.length]);
          const place = Math.min(Math.max(edge, 0), token.length);
          const what = random.chance(0.3) ? random.pick(UTF8_FAULTS) : Buffer.from([random.pick(CONTROLS)]);
          tokens[at] = Buffer.concat([token.subarray(0, place), what, token.subarray(place)]);
        }
      }
    }
  }

  #breakBytes(bytes: Buffer): Buffer {
    const random = this.#random;
    const at = random.int(bytes.length + 1);
    switch (random.int(5)) {
      case 0: {
        const changed = Buffer.from(bytes);
        if (at < changed.length) changed[at] = random.pick(CONTROLS);
        return changed;
      }
      case 1:
        return Buffer.concat([bytes.subarray(0, at), Buffer.from([random.pick(CONTROLS)]), bytes.subarray(at)]);
      case 2:
        return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random.int(3))]);
      case 3: {
        const changed = Buffer.from(bytes);
        if (at < changed.length) changed[at] = (changed[at] as number) ^ (1 << random.int(8));
        return changed;
      }
      default:
        return Buffer.concat([bytes, random.chance(0.5) ? bytes : Buffer.from(random.pick(STRUCTURE))]);
    }
  }
}
