/** Windows by the clocks of a place: against Intl.DateTimeFormat's dates and hours, and against changes of the clocks that are known. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ZoneGrid } from '../../core/index.ts';
import { caseCount, fc } from '../seed.ts';

const RUNS = caseCount(300);
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const at = (text: string) => Date.parse(text);

test('days of 23, 24 and 25 hours: changes of the clocks that are known', () => {
  const days: readonly (readonly [zone: string, date: string, start: string, hours: number])[] = [
    ['Europe/Berlin', '2024-03-31', '2024-03-30T23:00:00Z', 23],
    ['Europe/Berlin', '2024-10-27', '2024-10-26T22:00:00Z', 25],
    ['Europe/Berlin', '2024-10-28', '2024-10-27T23:00:00Z', 24],
    ['America/New_York', '2024-03-10', '2024-03-10T05:00:00Z', 23],
    ['America/New_York', '2024-11-03', '2024-11-03T04:00:00Z', 25],
    // Put on at midnight: the day begins at 01:00.
    ['America/Sao_Paulo', '2018-11-04', '2018-11-04T03:00:00Z', 23],
    // Put back at midnight: 23:00 to 24:00 comes twice, and belongs to the day that had it first.
    ['America/Sao_Paulo', '2018-02-17', '2018-02-17T02:00:00Z', 25],
    // By half an hour.
    ['Australia/Lord_Howe', '2024-04-07', '2024-04-06T13:00:00Z', 24.5],
    // In winter time since 1968, in summer time since October 1971: 1970 began at 23:00 UTC.
    ['Europe/London', '1970-01-01', '1969-12-31T23:00:00Z', 24],
    ['Asia/Kathmandu', '2024-01-01', '2023-12-31T18:15:00Z', 24],
    // The date line: the 30th of December 2011 was left out.
    ['Pacific/Apia', '2011-12-29', '2011-12-29T10:00:00Z', 24],
    ['Pacific/Apia', '2011-12-31', '2011-12-30T10:00:00Z', 24],
    ['UTC', '2024-02-29', '2024-02-29T00:00:00Z', 24],
  ];
  for (const [zone, date, start, hours] of days) {
    const grid = new ZoneGrid(DAY, zone);
    const window = at(`${date}T00:00:00Z`) / DAY;
    assert.deepEqual(
      [new Date(grid.windowStart(window)).toISOString(), (grid.windowEnd(window) - grid.windowStart(window)) / HOUR],
      [new Date(at(start)).toISOString(), hours],
      `${zone} ${date}`,
    );
  }
  const apia = new ZoneGrid(DAY, 'Pacific/Apia');
  const left = at('2011-12-30T00:00:00Z') / DAY;
  assert.equal(apia.windowStart(left), apia.windowEnd(left));
  assert.equal(apia.paneOf(apia.windowStart(left)), left + 1);
});

test('hours when clocks are put back, and days that begin at six', () => {
  const hours = new ZoneGrid(HOUR, 'Europe/Berlin');
  // 02:00 to 03:00 comes twice: one window of two hours.
  const window = hours.paneOf(at('2024-10-27T00:30:00Z'));
  assert.equal(window, at('2024-10-27T02:00:00Z') / HOUR);
  assert.equal(hours.paneOf(at('2024-10-27T01:30:00Z')), window);
  assert.deepEqual([hours.windowStart(window), hours.windowEnd(window)], [at('2024-10-27T00:00:00Z'), at('2024-10-27T02:00:00Z')]);
  const fromSix = new ZoneGrid(DAY, 'Europe/Berlin', 6 * HOUR);
  const day = fromSix.paneOf(at('2024-03-31T03:59:59Z'));
  assert.deepEqual([fromSix.windowStart(day), fromSix.windowEnd(day)], [at('2024-03-30T05:00:00Z'), at('2024-03-31T04:00:00Z')]);
});

const ZONES = [
  'Europe/Berlin',
  'America/New_York',
  'America/Sao_Paulo',
  'America/St_Johns',
  'Australia/Lord_Howe',
  'Africa/Casablanca',
  'Pacific/Apia',
  'Asia/Tehran',
  'UTC',
];
const zones = fc.constantFrom(...ZONES);
/** From 1900 to 2035, every second one near a change of the clocks in Europe or America. */
const times = fc.oneof(
  fc.integer({ min: at('1900-01-01T00:00:00Z'), max: at('2035-01-01T00:00:00Z') }),
  fc
    .tuple(
      fc.constantFrom(
        at('2024-03-31T01:00:00Z'),
        at('2024-10-27T01:00:00Z'),
        at('2024-11-03T06:00:00Z'),
        at('2018-11-04T03:00:00Z'),
        at('2006-10-29T02:31:00Z'),
      ),
      fc.integer({ min: -30 * HOUR, max: 30 * HOUR }),
    )
    .map(([change, away]) => change + away),
);

/** What the clocks show, as ms: by another formatter than the grid's. */
function clocks(zone: string): (timeMs: number) => number {
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short', timeStyle: 'medium' });
  return (timeMs) => Date.parse(`${format.format(timeMs).replace(' ', 'T')}Z`) + (((timeMs % 1_000) + 1_000) % 1_000);
}
const shows = new Map(ZONES.map((zone) => [zone, clocks(zone)]));

test('any time in any zone lies in the window of what the clocks have shown at most', () => {
  fc.assert(
    fc.property(zones, times, fc.constantFrom(HOUR, 6 * HOUR, DAY, 7 * DAY), fc.constantFrom(0, HOUR / 2, -HOUR / 4), (zone, time, size, offset) => {
      const show = shows.get(zone) as (timeMs: number) => number;
      const grid = new ZoneGrid(size, zone, offset);
      const pane = grid.paneOf(time);
      // Changes of the clocks are at whole minutes in these zones, so what was shown most is found at whole minutes, or just before one.
      let most = show(time);
      const minute = Math.floor(time / 60_000) * 60_000;
      for (let before = minute; before > time - 3 * HOUR; before -= 60_000) most = Math.max(most, show(before - 1));
      assert.equal(pane, Math.floor((most - grid.offsetMs) / size));
      const [start, end] = [grid.paneStart(pane), grid.paneEnd(pane)];
      assert.ok(start <= time && time < end, `${start} ${time} ${end}`);
      assert.ok(show(start) >= pane * size + grid.offsetMs && show(start - 1) < pane * size + grid.offsetMs);
      assert.equal(grid.lastWindowEndedBy(end), pane);
      assert.equal(grid.lastWindowEndedBy(end - 1), grid.paneOf(end - 1) - 1);
      assert.deepEqual([grid.firstWindowOf(pane), grid.lastWindowOf(pane), grid.paneExpiry(pane)], [pane, pane, end]);
    }),
    { numRuns: RUNS },
  );
});

test('the ends of the calendar, and times that are none', () => {
  const grid = new ZoneGrid(DAY, 'Europe/Berlin');
  for (const time of [-8.64e15, -6.3e13, 8.64e15]) {
    const pane = grid.paneOf(time);
    assert.ok(grid.paneStart(pane) <= time && time < grid.paneEnd(pane), String(time));
  }
  assert.deepEqual([grid.paneOf(Number.POSITIVE_INFINITY), grid.paneStart(Number.NEGATIVE_INFINITY)], [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]);
  assert.throws(() => new ZoneGrid(DAY, 'Europe/Nowhere'), { code: 'ERR_MILLRACE_OPTION', message: /Europe\/Nowhere.*IANA/ });
});
