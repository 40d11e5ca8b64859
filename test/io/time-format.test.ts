/** Patterns of instants: a model that writes them, the clocks of zones, refusals. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { timestamp, utf8 } from '../../core/index.ts';
import { json } from '../../io/json.ts';
import { TimeFormat } from '../../io/time-format.ts';
import { caseCount, fc } from '../seed.ts';
import { decode } from './codec-harness.ts';

const parse = (pattern: string | undefined, text: string, zone?: string): number => {
  const bytes = new TextEncoder().encode(`?${text}?`);
  return new TimeFormat('test', pattern, zone).parse(bytes, 1, bytes.length - 1);
};
const MONTHS = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December'];
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const pad = (value: number, width: number): string => String(value).padStart(width, '0');

/** Every letter, as a model writes it. */
const WRITE: Readonly<Record<string, (at: Date) => string>> = {
  yyyy: (at) => pad(at.getUTCFullYear(), 4),
  yy: (at) => pad(at.getUTCFullYear() % 100, 2),
  MM: (at) => pad(at.getUTCMonth() + 1, 2),
  M: (at) => String(at.getUTCMonth() + 1),
  MMM: (at) => (MONTHS[at.getUTCMonth()] as string).slice(0, 3),
  MMMM: (at) => (MONTHS[at.getUTCMonth()] as string).toUpperCase(),
  dd: (at) => pad(at.getUTCDate(), 2),
  d: (at) => String(at.getUTCDate()),
  EEE: (at) => (DAYS[at.getUTCDay()] as string).slice(0, 3),
  EEEE: (at) => DAYS[at.getUTCDay()] as string,
  HH: (at) => pad(at.getUTCHours(), 2),
  H: (at) => String(at.getUTCHours()),
  hh: (at) => pad(at.getUTCHours() % 12 || 12, 2),
  h: (at) => String(at.getUTCHours() % 12 || 12),
  mm: (at) => pad(at.getUTCMinutes(), 2),
  m: (at) => String(at.getUTCMinutes()),
  ss: (at) => pad(at.getUTCSeconds(), 2),
  s: (at) => String(at.getUTCSeconds()),
  SSS: (at) => pad(at.getUTCMilliseconds(), 3),
  SSSSSS: (at) => `${pad(at.getUTCMilliseconds(), 3)}789`,
  a: (at) => (at.getUTCHours() < 12 ? 'AM' : 'pm'),
  "'at o''clock'": () => 'at oclock',
  "'T'": () => 'T',
};

describe('patterns', () => {
  test('read what a model writes', () => {
    const piece = (...letters: string[]) => fc.constantFrom(...letters);
    const pattern = fc
      .tuple(
        piece('yyyy', 'yy'),
        piece('MM', 'M', 'MMM', 'MMMM'),
        piece('dd', 'd'),
        piece('HH', 'H', 'hh', 'h'),
        piece('mm', 'm'),
        piece('ss', 's'),
        piece('SSS', 'SSSSSS'),
        piece('EEE', 'EEEE', "'T'"),
      )
      .chain((letters) => {
        const all = letters[3].startsWith('h') ? [...letters, 'a'] : letters;
        return fc.tuple(
          fc.shuffledSubarray(all, { minLength: all.length }),
          fc.array(piece('/', '-', '.', ':', ' ', ', ', 'é'), { minLength: all.length, maxLength: all.length }),
        );
      });
    fc.assert(
      fc.property(pattern, fc.integer({ min: Date.UTC(2000, 0, 1), max: Date.UTC(2099, 11, 31) }), ([letters, between], ms) => {
        const at = new Date(ms);
        const text = (write: (letter: string) => string): string => letters.map((letter, i) => `${write(letter)}${between[i]}`).join('');
        assert.equal(
          parse(
            text((letter) => letter),
            text((letter) => (WRITE[letter] as (at: Date) => string)(at)),
          ),
          ms,
        );
      }),
      { numRuns: caseCount(500) },
    );
  });

  test('of logs and tables, with offsets', () => {
    assert.equal(parse('dd/MMM/yyyy:HH:mm:ss Z', '10/Oct/2000:13:55:36 -0700'), Date.parse('2000-10-10T13:55:36-07:00'));
    assert.equal(parse('EEE, d MMM yyyy HH:mm:ss Z', 'Sun, 6 Nov 1994 08:49:37 +0000'), Date.UTC(1994, 10, 6, 8, 49, 37));
    assert.equal(parse('M/d/yyyy h:mm a', '7/4/2026 12:05 AM'), Date.UTC(2026, 6, 4, 0, 5));
    assert.equal(parse('M/d/yyyy h:mm a', '7/4/2026 12:05 pm'), Date.UTC(2026, 6, 4, 12, 5));
    for (const offset of ['+02', '+0200', '+02:00'])
      assert.equal(parse('yyyy-MM-dd HH:mmXXX', `2026-01-01 02:00${offset}`, 'Asia/Tokyo'), Date.UTC(2026, 0, 1));
    assert.equal(parse('yyyy-MM-dd HH:mmXXX', '2026-01-01 02:00Z'), Date.UTC(2026, 0, 1, 2));
    assert.equal(parse('yyyyMMdd', '20240229'), Date.UTC(2024, 1, 29));
    assert.equal(parse('yyyy', '1969'), Date.UTC(1969, 0, 1));
    assert.equal(parse("yyyy''MM", "2026'03"), Date.UTC(2026, 2, 1));
  });

  test('refuse what is no such time', () => {
    const wrong: readonly (readonly [string, string])[] = [
      ['yyyy-MM-dd', '2026-02-29'],
      ['yyyy-MM-dd', '2026-13-01'],
      ['yyyy-MM-dd', '2026-00-01'],
      ['yyyy-MM-dd', '2026-1-01'],
      ['yyyy-MM-dd', '2026-01-01 '],
      ['yyyy-MM-dd', ' 2026-01-01'],
      ['yyyy-MM-dd', '2026-01-0'],
      ['yyyy-MM-dd', ''],
      ['yyyy HH:mm:ss', '2026 24:00:00'],
      ['yyyy HH:mm:ss', '2026 23:60:00'],
      ['yyyy HH:mm:ss', '2026 23:59:60'],
      ['yyyy h a', '2026 13 AM'],
      ['yyyy h a', '2026 0 AM'],
      ['yyyy h a', '2026 1 XM'],
      ['yyyy.SSS', '2026.12'],
      ['yyyy MMM', '2026 Foo'],
      ['yyyy X', '2026 +25:00'],
      ['yyyy X', '2026 02:00'],
    ];
    for (const [pattern, text] of wrong) assert.ok(Number.isNaN(parse(pattern, text)), `${pattern} of ${text}`);
  });

  test('that say nothing are refused, with what is wrong', () => {
    const wrong: readonly (readonly [string, RegExp])[] = [
      ['', /it has no year/],
      ['MM-dd', /it has no year/],
      ['yyyy-dd', /it has a day and no month/],
      ['yyyy-MM-yy', /it names the year twice/],
      ['yyyy-MM-dd hh:mm', /h goes with a \(AM, PM\)/],
      ['yyyy-MM-dd HH:mm a', /h goes with a/],
      ['yyyy-MM-ddTHH:mm', /"T" in it stands for nothing/],
      ["yyyy'T", /a quote in it does not end/],
      ['yyyyy', /"yyyyy" in it stands for nothing/],
    ];
    for (const [pattern, message] of wrong) assert.throws(() => parse(pattern, ''), { code: 'ERR_MILLRACE_OPTION', message });
  });
});

describe('zones', () => {
  test('local times are those that the clocks of the zone show, the first of two, or counted on', () => {
    const pattern = 'yyyy-MM-dd HH:mm';
    const utc = (text: string, zone: string): string => new Date(parse(pattern, text, zone)).toISOString().slice(0, 16).replace('T', ' ');
    assert.equal(utc('2026-03-29 01:59', 'Europe/Berlin'), '2026-03-29 00:59');
    assert.equal(utc('2026-03-29 02:30', 'Europe/Berlin'), '2026-03-29 01:30'); // never shown
    assert.equal(utc('2026-03-29 03:00', 'Europe/Berlin'), '2026-03-29 01:00');
    assert.equal(utc('2026-10-25 01:59', 'Europe/Berlin'), '2026-10-24 23:59');
    assert.equal(utc('2026-10-25 02:30', 'Europe/Berlin'), '2026-10-25 00:30'); // shown twice
    assert.equal(utc('2026-10-25 03:00', 'Europe/Berlin'), '2026-10-25 02:00');
    assert.equal(utc('2026-11-01 01:30', 'America/New_York'), '2026-11-01 05:30');
    assert.equal(utc('2026-01-01 00:00', 'Asia/Kolkata'), '2025-12-31 18:30');
    assert.equal(utc('2026-01-01 00:00', '-03:30'), '2026-01-01 03:30');
  });

  test('are undone by Intl, for any time that is shown once', () => {
    const zones = ['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kathmandu', 'Pacific/Apia', 'America/Sao_Paulo'];
    const formats = new Map(zones.map((zone) => [zone, new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short', timeStyle: 'medium' })]));
    const kept = new Map(zones.map((zone) => [zone, new TimeFormat('test', 'yyyy-MM-dd HH:mm:ss', zone)]));
    fc.assert(
      fc.property(fc.constantFrom(...zones), fc.integer({ min: Date.UTC(1990, 0, 1) / 1_000, max: Date.UTC(2037, 0, 1) / 1_000 }), (zone, seconds) => {
        const shown = (ms: number): string => (formats.get(zone) as Intl.DateTimeFormat).format(ms);
        const text = shown(seconds * 1_000);
        const bytes = new TextEncoder().encode(text);
        const ms = (kept.get(zone) as TimeFormat).parse(bytes, 0, bytes.length);
        assert.equal(shown(ms), text, zone);
        assert.ok(ms <= seconds * 1_000, 'the first of the times that are shown so');
      }),
      { numRuns: caseCount(2_000) },
    );
  });
});

test('json: instants by pattern and zone, numbers as milliseconds, escapes; what is none is refused with its column', () => {
  const codec = json(
    { at: timestamp, day: timestamp, s: utf8 },
    { time: 'dd/MMM/yyyy:HH:mm:ss Z', columns: { day: { time: 'yyyy/MM/dd', zone: 'Europe/Berlin' } } },
  );
  const records = [
    '{"at":"10/Oct/2000:13:55:36 -0700","day":"2026/07/01","s":"a"}',
    '{"s":"b","at":5,"day":"2026\\/07\\/02"}',
    '{"s":"c","at":"2000-10-10","day":"2026/07/02"}',
  ];
  const bytes = records.map((record) => new Uint8Array(Buffer.from(record)));
  const { rows, rejections } = decode(codec as never, bytes);
  assert.deepEqual(rows, [
    { at: Date.parse('2000-10-10T13:55:36-07:00'), day: Date.UTC(2026, 5, 30, 22), s: 'a' },
    { at: 5, day: Date.UTC(2026, 6, 1, 22), s: 'b' },
  ]);
  assert.match(
    rejections[0]?.message ?? '',
    /column "at" holds timestamp, but byte 14 has "\\"2000-10-10\\"", which is no time like "dd\/MMM\/yyyy:HH:mm:ss Z"/,
  );
});
