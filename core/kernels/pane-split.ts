// Rows of a batch by pane. Reference and layout: core/panes/pane-split.ts.

// Times that a window can hold: EVENT_TIME_MAX of core/panes/pane-grid.ts.
// @ts-ignore: decorator
@inline const TIME_MAX: f64 = 8640000000000000;
// @ts-ignore: decorator
@inline const LATE: u32 = 0xffffffff;

// @ts-ignore: decorator
@inline function paneOf(time: f64, slide: f64, offset: f64, cut: f64): f64 {
  const since = time - offset;
  const number = Math.floor(since / slide);
  if (cut == 0) return number;
  return number * 2 + (since - number * slide >= cut ? 1 : 0);
}

// True, and the pane written, when all rows lie in one pane and none is late or beyond the bound.
// @ts-ignore: decorator
@inline function isOnePane(times: usize, rowCount: i32, lateBefore: f64, timeBound: f64, slide: f64, offset: f64, cut: f64, header: usize, panes: usize): bool {
  let low = load<i64>(times);
  let high = low;
  const end = times + ((<usize>rowCount) << 3);
  for (let at = times + 8; at < end; at += 8) {
    const time = load<i64>(at);
    low = time < low ? time : low;
    high = time > high ? time : high;
  }
  const first = <f64>low;
  const last = <f64>high;
  if (first < lateBefore || first < -TIME_MAX || last > TIME_MAX || last > timeBound) return false;
  const pane = paneOf(first, slide, offset, cut);
  if (pane != paneOf(last, slide, offset, cut)) return false;
  store<f64>(header, last);
  store<u32>(header, 0, 8);
  store<f64>(panes, pane);
  store<u32>(panes, rowCount, 8);
  store<u32>(panes, LATE, 12);
  return true;
}

export function paneSplit(times: usize, validity: usize, rowCount: i32, lateBefore: f64, timeBound: f64, slide: f64, offset: f64, cut: f64, header: usize, panes: usize, places: usize, selection: usize, directory: usize, mask: u32): i32 {
  if (validity == 0 && isOnePane(times, rowCount, lateBefore, timeBound, slide, offset, cut, header, panes)) return 1;
  // A new stamp empties the directory.
  const stamp = load<u32>(header, 12) + 1;
  store<u32>(header, stamp, 12);
  let maxTime: f64 = -Infinity;
  let paneCount: u32 = 0;
  let lateCount: u32 = 0;
  let current: f64 = NaN;
  let place: u32 = 0;
  for (let row = 0; row < rowCount; row++) {
    const time = <f64>load<i64>(times + ((<usize>row) << 3));
    const hasTime = (validity == 0 || ((load<u8>(validity + (row >> 3)) >> <u8>(row & 7)) & 1) == 1) && time >= -TIME_MAX && time <= TIME_MAX;
    if (hasTime && time > maxTime && time <= timeBound) maxTime = time;
    if (!hasTime || time < lateBefore) {
      store<u32>(places + ((<usize>row) << 2), LATE);
      lateCount++;
      continue;
    }
    const pane = paneOf(time, slide, offset, cut);
    if (pane != current) {
      current = pane;
      let at = <u32>(<i64>pane) & mask;
      for (;;) {
        const entry = directory + ((<usize>at) << 4);
        if (load<u32>(entry, 8) != stamp) {
          store<f64>(entry, pane);
          store<u32>(entry, stamp, 8);
          store<u32>(entry, paneCount, 12);
          place = paneCount++;
          store<f64>(panes + ((<usize>place) << 4), pane);
          store<u32>(panes + ((<usize>place) << 4), 0, 8);
          break;
        }
        if (load<f64>(entry) == pane) {
          place = load<u32>(entry, 12);
          break;
        }
        at = (at + 1) & mask;
      }
    }
    store<u32>(places + ((<usize>row) << 2), place);
    const count = panes + ((<usize>place) << 4);
    store<u32>(count, load<u32>(count, 8) + 1, 8);
  }
  store<f64>(header, maxTime);
  store<u32>(header, lateCount, 8);
  // Where each pane's row numbers begin; `next` runs while they are written, and ends where the pane ends.
  let start: u32 = 0;
  for (let i: u32 = 0; i < paneCount; i++) {
    const pane = panes + ((<usize>i) << 4);
    store<u32>(pane, start, 12);
    start += load<u32>(pane, 8);
  }
  let late = start;
  for (let row = 0; row < rowCount; row++) {
    const owner = load<u32>(places + ((<usize>row) << 2));
    let to: u32;
    if (owner == LATE) to = late++;
    else {
      const pane = panes + ((<usize>owner) << 4);
      to = load<u32>(pane, 12);
      store<u32>(pane, to + 1, 12);
    }
    store<u32>(selection + ((<usize>to) << 2), row);
  }
  for (let i: u32 = 0; i < paneCount; i++) {
    const pane = panes + ((<usize>i) << 4);
    store<u32>(pane, load<u32>(pane, 12) - load<u32>(pane, 8), 12);
  }
  return <i32>paneCount;
}
