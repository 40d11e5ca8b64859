// The live page: it listens to /events and draws what it is told. It asks for nothing else but views, which are shown
// only where somebody has chosen one, and sends nothing.

import { histogram, Lines, stacks } from './charts.js';
import { drawPlan } from './plan.js';
import { pairs, table } from './tables.js';
import { bytes, clock, duration, milliseconds, short, time, whole } from './values.js';

const PHASES = ['intake', 'merge', 'write', 'checkpoint', 'commit'];
const SAMPLES_KEPT = 600;
const EPOCHS_KEPT = 600;
const LINES_KEPT = 500;
const VIEW_MS = 1_000;

const at = (id) => document.getElementById(id);

const rowsChart = new Lines(at('rows-chart'), ['in', 'out'], short);
const bytesChart = new Lines(at('bytes-chart'), ['in'], bytes);
const lagChart = new Lines(at('lag-chart'), ['lag'], short);
const behindChart = new Lines(at('behind-chart'), ['behind'], short);

/** What is known of the past: [atMs, rowsIn, rowsOut, bytesIn, lag, watermark, ...]. */
let samples = [];
let epochs = [];
let lines = [];
let graph;
let setRates = () => {};
let last;
let before;

const events = new EventSource('events');
events.addEventListener('whole', ({ data }) => {
  const told = JSON.parse(data);
  graph = told.graph;
  samples = told.history;
  epochs = [];
  lines = [];
  before = undefined;
  document.title = `${told.pipeline} - millrace`;
  at('pipeline').textContent = told.pipeline;
  at('about').textContent = `process ${told.pid}, since ${new Date(told.startedAtMs).toLocaleString()}`;
  setRates = drawPlan(at('plan'), graph, (text) => {
    at('plan-step').textContent = text;
  });
  choices(
    at('view-name'),
    graph.views.map(({ name }) => name),
  );
  at('views-panel').hidden = graph.views.length === 0;
  at('log').replaceChildren();
  take(told);
});
events.addEventListener('news', ({ data }) => take(JSON.parse(data)));
events.addEventListener('error', () => {
  // A job that has ended says so before the connection ends.
  if (last?.state !== 'stopped' && last?.state !== 'failed') showState('lost');
});

function take(told) {
  const { now } = told;
  epochs = [...epochs, ...told.epochs].slice(-EPOCHS_KEPT);
  lines = [...lines, ...told.lines].slice(-LINES_KEPT);
  samples.push([
    now.atMs,
    now.rowsIn,
    now.rowsOut,
    now.bytesIn,
    now.lag ?? null,
    now.watermark,
    now.stateBytes,
    now.memory.usedBytes,
    now.backPressure.workers,
    now.backPressure.epochs,
    now.backPressure.output,
  ]);
  if (samples.length > SAMPLES_KEPT) samples = samples.slice(-SAMPLES_KEPT);
  before = last;
  last = now;
  addLines(told.lines);
  if (!document.hidden) draw();
}

document.addEventListener('visibilitychange', () => {
  if (!document.hidden && last !== undefined) draw();
});

function draw() {
  const now = last;
  showState(now.state);
  const refused = Object.values(now.ledger).reduce((sum, count) => sum + count, 0);
  pairs(at('figures'), [
    ['rows in', whole(now.rowsIn)],
    ['rows out', whole(now.rowsOut)],
    ['rows/s', whole(rate(1))],
    ['bytes/s', bytes(rate(3))],
    ['lag', whole(now.lag)],
    ['time to catch up', catchUp(now)],
    ['event time', time(now.watermark)],
    ['epoch', whole(now.epoch)],
    ['not counted', whole(refused)],
    ['restarts', whole(now.restarts)],
    ['up', duration(now.seconds)],
  ]);
  const times = samples.map((sample) => sample[0] / 1_000);
  rowsChart.draw(times, [rates(1), rates(2)]);
  bytesChart.draw(times, [rates(3)]);
  lagChart.draw(times, [samples.map((sample) => sample[4])]);
  behindChart.draw(times, [samples.map((sample) => (typeof sample[5] === 'number' ? (sample[0] - sample[5]) / 1_000 : null))]);
  drawEpochs();
  drawPressure(now);
  drawMemory(now);
  drawCheckpoint(now);
  drawTables(now);
  drawRates(now);
}

function showState(state) {
  at('state').textContent = state === 'lost' ? 'connection lost' : state;
  at('state').className = `state ${state}`;
}

/** Of a counter of the samples, by second, over the last two seconds. */
function rate(column) {
  const to = samples.at(-1);
  const from = samples.at(-5) ?? samples[0];
  if (to === undefined || from === undefined || to[0] <= from[0] || to[column] < from[column]) return 0;
  return ((to[column] - from[column]) * 1_000) / (to[0] - from[0]);
}

/** The same at each sample; null where a job began anew. */
function rates(column) {
  return samples.map((sample, i) => {
    const from = samples[Math.max(0, i - 2)];
    if (sample[0] <= from[0] || sample[column] < from[column]) return null;
    return ((sample[column] - from[column]) * 1_000) / (sample[0] - from[0]);
  });
}

/** By how fast the lag has become less, over the last half minute. */
function catchUp(now) {
  if (now.lag === undefined || now.lag === null) return '-';
  if (now.lag === 0) return 'caught up';
  const from = samples[Math.max(0, samples.length - 60)];
  const seconds = (now.atMs - from[0]) / 1_000;
  const less = (from[4] ?? now.lag) - now.lag;
  return less > 0 && seconds > 1 ? duration((now.lag * seconds) / less) : 'not catching up';
}

function drawEpochs() {
  // [epoch, bytes, intake, merge, write, checkpoint, commit]
  stacks(
    at('epochs'),
    epochs.map((epoch) => epoch.slice(2)),
    milliseconds,
  );
  if (at('epochs-key').childElementCount === 0) {
    at('epochs-key').append(
      ...PHASES.map((phase, i) => {
        const item = document.createElement('span');
        const dot = document.createElement('i');
        dot.className = `c${i}`;
        item.append(dot, phase === 'merge' ? 'scan, exchange, merge' : phase);
        return item;
      }),
    );
  }
  const whole = epochs.filter((epoch) => epoch[1] > 0).map((epoch) => epoch.slice(2).reduce((sum, ms) => sum + ms, 0));
  histogram(at('latency'), whole, milliseconds);
  const sorted = [...whole].sort((a, b) => a - b);
  const quantile = (share) => milliseconds(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]);
  at('latency-text').textContent =
    sorted.length === 0 ? 'no epoch with rows yet' : `at most, over ${sorted.length} epochs: p50 ${quantile(0.5)}, p99 ${quantile(0.99)}`;
}

const WAITS = [
  ['workers', 'sources wait for workers: rows that were handed on are not scanned yet'],
  ['epochs', 'sources wait for epochs: the open one is full, and those before it are not written'],
  ['output', 'sources wait for sinks: output that is not written, or state, takes too much memory'],
];

function drawPressure(now) {
  const seconds = before === undefined ? 1 : Math.max(0.1, (now.atMs - before.atMs) / 1_000);
  at('pressure').replaceChildren(
    ...WAITS.flatMap(([name, text]) => {
      const share = before === undefined ? 0 : Math.min(1, Math.max(0, (now.backPressure[name] - before.backPressure[name]) / seconds));
      const label = document.createElement('div');
      label.textContent = `${text}: ${Math.round(share * 100)} % now, ${now.backPressure[name].toFixed(1)} s in all`;
      const bar = document.createElement('progress');
      bar.max = 1;
      bar.value = share;
      bar.setAttribute('aria-label', name);
      return [label, bar];
    }),
  );
}

function drawMemory(now) {
  const { usedBytes, totalBytes } = now.memory;
  const rows = [
    ['shared memory in use', usedBytes, totalBytes],
    ['of it and of the heap, state', now.stateBytes, totalBytes],
  ];
  at('memory').replaceChildren(
    ...rows.flatMap(([name, value, most]) => {
      const label = document.createElement('div');
      label.textContent = `${name}: ${bytes(value)} of ${bytes(most)}`;
      const bar = document.createElement('progress');
      bar.max = most || 1;
      bar.value = Math.min(value, most || 1);
      bar.setAttribute('aria-label', name);
      return [label, bar];
    }),
    document.createTextNode(now.spilledBytes > 0 ? `put away on disk: ${bytes(now.spilledBytes)}` : ''),
  );
}

function drawCheckpoint({ lastCheckpoint: made, atMs }) {
  pairs(
    at('checkpoint'),
    made === undefined || made === null
      ? [['last', 'none in this run']]
      : [
          ['last', `epoch ${whole(made.checkpoint)}`],
          ['age', duration(Math.max(0, (atMs - made.atMs) / 1_000))],
          ['took', milliseconds(made.ms)],
          ['state', bytes(made.stateBytes)],
        ],
  );
}

function drawTables(now) {
  table(
    at('partitions'),
    [
      { name: 'source' },
      { name: 'partition', number: true },
      { name: 'position', number: true, text: whole },
      { name: 'lag', number: true, text: whole },
      { name: 'event time', text: time },
      { name: 'rows in', number: true, text: whole },
    ],
    now.partitions,
  );
  table(
    at('sinks'),
    [
      { name: 'sink' },
      { name: 'rows', number: true, text: whole },
      { name: 'bytes', number: true, text: bytes },
      { name: 'requests', number: true, text: whole },
      { name: 'tried again', number: true, text: whole },
      { name: 'refused', number: true, text: whole },
      { name: 'waits', text: (value) => (value ? 'for its server' : '') },
    ],
    now.sinks.map(({ name, rows, bytes: size, requests, retries, refused, isWaiting }) => [name, rows, size, requests, retries, refused, isWaiting ?? false]),
  );
  pairs(
    at('ledger'),
    Object.entries(now.ledger).map(([reason, count]) => [reason, whole(count)]),
  );
  table(
    at('samples'),
    [{ name: 'reason' }, { name: 'where' }, { name: 'partition', number: true }, { name: 'offset', number: true }, { name: 'why', long: true }],
    now.samples.map(({ reason, source, partition, offset, message }) => [reason, source, partition, offset, message]),
  );
  choices(
    at('tail-name'),
    now.tails.map(({ sink }) => sink),
  );
  const tail = now.tails.find(({ sink }) => sink === at('tail-name').value);
  rowsTable(at('tail'), [...(tail?.rows ?? [])].reverse());
}

/** Rows as a table; its columns are those of the first one. */
function rowsTable(place, rows) {
  const names = Object.keys(rows[0] ?? {});
  table(
    place,
    names.map((name) => ({ name, number: rows.every((row) => row[name] === null || typeof row[name] === 'number'), text: (value) => cell(name, value) })),
    rows.map((row) => names.map((name) => row[name])),
  );
}

function cell(name, value) {
  if ((name === 'windowStart' || name === 'windowEnd') && typeof value === 'number') return time(value);
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

function drawRates(now) {
  if (graph === undefined) return;
  const seconds = before === undefined ? 0 : (now.atMs - before.atMs) / 1_000;
  const byName = (list, name) => list?.find((one) => one.name === name)?.rows ?? 0;
  const texts = new Map();
  for (const { id, kind, title } of graph.nodes) {
    const list = kind === 'source' ? 'sources' : kind === 'sink' ? 'sinks' : undefined;
    if (list === undefined) continue;
    const rows = byName(now[list], title);
    const perSecond = seconds > 0 ? Math.max(0, (rows - byName(before[list], title)) / seconds) : 0;
    texts.set(id, `${short(perSecond)} rows/s, ${short(rows)} in all`);
  }
  setRates(texts);
}

function choices(select, names) {
  if (select.childElementCount === names.length && names.every((name, i) => select.children[i].value === name)) return;
  const chosen = select.value;
  select.replaceChildren(...names.map((name) => new Option(name, name)));
  if (names.includes(chosen)) select.value = chosen;
}

function addLines(added) {
  const list = at('log');
  const isAtEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 4;
  for (const { atMs, level, message, fields } of added) {
    const item = document.createElement('li');
    item.className = level;
    const more = Object.keys(fields).length === 0 ? '' : ` ${JSON.stringify(fields)}`;
    item.textContent = `${clock(atMs)} ${level} ${message}${more}`;
    list.append(item);
  }
  while (list.childElementCount > LINES_KEPT) list.firstElementChild.remove();
  if (isAtEnd) list.scrollTop = list.scrollHeight;
}

// Views are asked for while their panel is in sight.
let isViewInSight = false;
new IntersectionObserver((seen) => {
  isViewInSight = seen.at(-1).isIntersecting;
}).observe(at('views-panel'));

async function showView() {
  if (!isViewInSight || document.hidden || at('view-name').value === '') return;
  try {
    const answer = await fetch(`view?${new URLSearchParams({ name: at('view-name').value, n: '200' })}`);
    const { rows, epoch, error } = await answer.json();
    at('view-about').textContent = error ?? `${rows.length} rows, as of epoch ${epoch}; sort by a column's head`;
    if (rows !== undefined) rowsTable(at('view'), rows);
  } catch {
    // The job has ended, or begins anew.
  }
}
setInterval(showView, VIEW_MS);
at('view-name').addEventListener('change', showView);
at('tail-name').addEventListener('change', () => last !== undefined && draw());
