/** What `millrace top` shows: a job as some lines of text, from one scrape, with rates where there is an earlier one. */

import type { Sample, Scrape } from './scrape.ts';

const PARTITIONS_SHOWN = 20;

/** @param before an earlier scrape of the same job: rates are over the time since */
export function screen(now: Scrape, before: Scrape | undefined): string {
  const of = (name: string): readonly Sample[] => now.samples.get(`millrace_${name}`) ?? [];
  const sum = (name: string): number | undefined => sumOf(of(name));
  const was = (name: string): number | undefined => before && sumOf(before.samples.get(`millrace_${name}`) ?? []);
  const seconds = before === undefined ? 0 : (now.atMs - before.atMs) / 1_000;
  const rate = (name: string): number | undefined => {
    const [one, other] = [sum(name), was(name)];
    return one === undefined || other === undefined || seconds <= 0 ? undefined : Math.max(0, (one - other) / seconds);
  };
  const states = of('job_state');
  const state = states.find(({ value }) => value === 1)?.labels['state'] ?? '?';
  const pipeline = states[0]?.labels['pipeline'] ?? '?';
  const lag = sum('lag');
  const lines = [
    `${pipeline}: ${state}, ${count(sum('restarts_total'))} restarts`,
    '',
    `rows in     ${count(sum('rows_in_total')).padStart(16)}  ${perSecond(rate('rows_in_total'), 'rows')}`,
    `rows out    ${count(sum('rows_out_total')).padStart(16)}  ${perSecond(rate('rows_out_total'), 'rows')}`,
    `bytes in    ${bytes(sum('received_bytes_total')).padStart(16)}  ${perSecond(rate('received_bytes_total'), 'bytes')}`,
    `lag         ${count(lag).padStart(16)}  ${catchUp(lag, was('lag'), seconds)}`,
    `watermark   ${behind(sum('watermark_lag_seconds')).padStart(16)}  behind the clock`,
    `state       ${bytes(sum('state_bytes')).padStart(16)}  memory ${bytes(sum('memory_used_bytes'))} of ${bytes(sum('memory_limit_bytes'))}`,
    `epochs      ${count(sum('epochs_total')).padStart(16)}  ${perSecond(rate('epochs_total'), 'epochs')}, the last committed is ${count(sum('committed_epoch'))}`,
  ].map((line) => line.trimEnd());
  const lost = of('ledger_rows_total').filter(({ value }) => value > 0);
  if (lost.length > 0) lines.push(`ledger      ${lost.map(({ labels, value }) => `${count(value)} ${labels['reason']}`).join(', ')}`);
  lines.push(...partitionLines(of('rows_in_total'), of('lag')));
  return lines.join('\n');
}

/** The partitions that are furthest behind. */
function partitionLines(rows: readonly Sample[], lags: readonly Sample[]): string[] {
  const keyOf = ({ labels }: Sample): string => JSON.stringify([labels['source'], labels['partition']]);
  const lagOf = new Map(lags.map((sample) => [keyOf(sample), sample.value]));
  const sorted = rows.map((sample) => ({ sample, lag: lagOf.get(keyOf(sample)) })).sort((a, b) => (b.lag ?? 0) - (a.lag ?? 0));
  if (sorted.length === 0) return [];
  const table = [
    ['source', 'partition', 'rows in', 'lag'],
    ...sorted
      .slice(0, PARTITIONS_SHOWN)
      .map(({ sample, lag }) => [sample.labels['source'] ?? '', sample.labels['partition'] ?? '', count(sample.value), count(lag)]),
  ];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...table.map((row) => (row[column] as string).length)));
  const place = (cell: string, column: number): string => (column === 0 ? cell.padEnd(widths[0] as number) : cell.padStart(widths[column] as number));
  const more = sorted.length - PARTITIONS_SHOWN;
  return ['', ...table.map((row) => row.map(place).join('  ')), ...(more > 0 ? [`and ${count(more)} more with less lag`] : [])];
}

function sumOf(samples: readonly Sample[]): number | undefined {
  return samples.length === 0 ? undefined : samples.reduce((sum, { value }) => sum + value, 0);
}

/** How long it takes until there is no lag, should it go on like this. */
function catchUp(lag: number | undefined, before: number | undefined, seconds: number): string {
  if (lag === undefined || before === undefined || seconds <= 0 || lag === 0) return '';
  const perSecond = (before - lag) / seconds;
  if (perSecond > 0) return `caught up in ${behind(lag / perSecond)}`;
  return perSecond < 0 ? 'grows' : '';
}

function count(n: number | undefined): string {
  return n === undefined ? '-' : Math.round(n).toLocaleString('en-US');
}

function perSecond(rate: number | undefined, unit: 'rows' | 'bytes' | 'epochs'): string {
  if (rate === undefined) return '';
  return unit === 'bytes' ? `${bytes(rate)}/s` : `${rate < 10 ? rate.toFixed(1) : count(rate)} ${unit}/s`;
}

function bytes(n: number | undefined): string {
  if (n === undefined) return '-';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let at = 0;
  let value = n;
  for (; value >= 1_024 && at < units.length - 1; at++) value /= 1_024;
  return `${at === 0 ? Math.round(value) : value.toFixed(1)} ${units[at]}`;
}

function behind(seconds: number | undefined): string {
  if (seconds === undefined) return '-';
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3_600) return `${(seconds / 60).toFixed(1)} min`;
  return seconds < 172_800 ? `${(seconds / 3_600).toFixed(1)} h` : `${(seconds / 86_400).toFixed(1)} days`;
}
