// Values as people read them.

const BYTES = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
const THOUSANDS = ['', 'k', 'M', 'G', 'T'];

/** 1234567 as 1,234,567. */
export function whole(value) {
  return value === null || value === undefined ? '-' : Math.round(value).toLocaleString('en-US');
}

/** 1234567 as 1.23 M. */
export function short(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return '-';
  return scaled(value, 1_000, THOUSANDS);
}

export function bytes(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return '-';
  return scaled(value, 1_024, BYTES);
}

function scaled(value, step, units) {
  let left = value;
  let unit = 0;
  while (Math.abs(left) >= step && unit < units.length - 1) {
    left /= step;
    unit++;
  }
  const digits = unit === 0 && Number.isInteger(left) ? 0 : Math.abs(left) < 10 ? 2 : Math.abs(left) < 100 ? 1 : 0;
  return `${left.toFixed(digits)}${units[unit] === '' ? '' : ` ${units[unit]}`}`;
}

export function milliseconds(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return '-';
  return value < 1_000 ? `${value.toFixed(value < 10 ? 1 : 0)} ms` : duration(value / 1_000);
}

/** Seconds. */
export function duration(value) {
  if (value < 60) return `${value.toFixed(value < 10 ? 1 : 0)} s`;
  const minutes = Math.floor(value / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(value % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 24 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A time of `Progress`: ms, 'end', or null. */
export function time(value) {
  if (value === null || value === undefined) return '-';
  return value === 'end'
    ? 'end'
    : new Date(value)
        .toISOString()
        .replace('T', ' ')
        .replace(/(\.000)?Z$/, '');
}

export function clock(value) {
  return new Date(value).toLocaleTimeString();
}
