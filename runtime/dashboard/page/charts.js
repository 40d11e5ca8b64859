// Charts: lines over time by uPlot, and two drawn here, stacked bars of epochs and a histogram.

import uPlot from './uplot.js';

const COLOURS = ['--one', '--two', '--three', '--four', '--five', '--six'];
const HEIGHT = 170;

export function colour(index) {
  return getComputedStyle(document.documentElement)
    .getPropertyValue(COLOURS[index % COLOURS.length])
    .trim();
}

function ink(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** A line chart: `draw(times in s, [values of each line])`. */
export class Lines {
  #place;
  #names;
  #text;
  #chart;
  #data;

  constructor(place, names, text) {
    this.#place = place;
    this.#names = names;
    this.#text = text;
    this.#make();
    new ResizeObserver(() => this.#chart.setSize({ width: this.#width(), height: HEIGHT })).observe(place);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#make());
  }

  draw(times, lines) {
    this.#data = [times, ...lines];
    this.#chart.setData(this.#data);
  }

  #width() {
    return Math.max(200, this.#place.clientWidth);
  }

  #make() {
    this.#chart?.destroy();
    const axis = { stroke: ink('--quiet'), grid: { stroke: ink('--line'), width: 1 }, ticks: { stroke: ink('--line'), width: 1 } };
    this.#chart = new uPlot(
      {
        width: this.#width(),
        height: HEIGHT,
        legend: { show: this.#names.length > 1, live: false },
        cursor: { drag: { x: false, y: false } },
        scales: { y: { range: (_, least, most) => [Math.min(0, least ?? 0), Math.max(1, (most ?? 0) * 1.05)] } },
        axes: [axis, { ...axis, size: 64, values: (_, values) => values.map(this.#text) }],
        series: [
          {},
          ...this.#names.map((label, i) => ({
            label,
            stroke: colour(i),
            width: 1.5,
            spanGaps: false,
            value: (_, value) => (value === null ? '-' : this.#text(value)),
          })),
        ],
      },
      this.#data ?? [[], ...this.#names.map(() => [])],
      this.#place,
    );
  }
}

/** Sharp on any screen. */
function surface(canvas) {
  const scale = devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
  if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
  const context = canvas.getContext('2d');
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = '11px system-ui, sans-serif';
  return { context, width, height };
}

/** Bars that are stacks: `bars[i][phase]`, the newest last. */
export function stacks(canvas, bars, text) {
  const { context, width, height } = surface(canvas);
  const step = 5;
  const shown = bars.slice(-Math.floor((width - 60) / step));
  const most = Math.max(1e-9, ...shown.map((bar) => bar.reduce((sum, value) => sum + value, 0)));
  shown.forEach((bar, i) => {
    let y = height - 2;
    bar.forEach((value, phase) => {
      const length = (value / most) * (height - 16);
      context.fillStyle = colour(phase);
      context.fillRect(60 + i * step, y - length, step - 1, length);
      y -= length;
    });
  });
  context.fillStyle = ink('--quiet');
  context.fillText(text(most), 2, 12);
  context.fillText('0', 2, height - 3);
}

/** Counts of values in steps of half powers of two, from 1 ms on. */
export function histogram(canvas, values, text) {
  const { context, width, height } = surface(canvas);
  if (values.length === 0) return;
  const slot = (value) => Math.max(0, Math.round(Math.log2(Math.max(value, 1)) * 2));
  const first = Math.min(...values.map(slot));
  const last = Math.max(...values.map(slot)) + 1;
  const counts = new Array(last - first + 1).fill(0);
  for (const value of values) counts[slot(value) - first]++;
  const most = Math.max(...counts);
  const step = Math.min(60, (width - 10) / counts.length);
  context.fillStyle = colour(0);
  counts.forEach((count, i) => {
    const length = (count / most) * (height - 30);
    context.fillRect(5 + i * step, height - 16 - length, Math.max(1, step - 2), length);
  });
  context.fillStyle = ink('--quiet');
  const every = Math.max(1, Math.ceil(60 / step));
  for (let i = 0; i < counts.length; i += every) context.fillText(text(2 ** ((i + first) / 2)), 5 + i * step, height - 3);
}
