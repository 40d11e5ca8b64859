/**
 * Metrics as text for Prometheus: exposition format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats).
 * `# HELP` and `# TYPE`, then a line for each sample; histograms as cumulative buckets, sum and count.
 */

import type { Histogram } from './histogram.ts';
import type { MetricFamily, MetricSample } from './metrics.ts';

export const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** Families without a sample are left out. */
export function prometheusText(families: readonly MetricFamily[]): string {
  const lines: string[] = [];
  for (const { name, type, help, samples } of families) {
    if (samples.length === 0) continue;
    lines.push(`# HELP ${name} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}`, `# TYPE ${name} ${type}`);
    for (const { labels, value } of samples) {
      if (typeof value === 'number') lines.push(`${name}${labelText(labels)} ${numberText(value)}`);
      else histogramLines(lines, name, labels, value);
    }
  }
  return `${lines.join('\n')}\n`;
}

function histogramLines(lines: string[], name: string, labels: MetricSample['labels'], { bounds, counts, sum, count }: Histogram): void {
  let below = 0;
  bounds.forEach((bound, at) => {
    below += counts[at] as number;
    lines.push(`${name}_bucket${labelText({ ...labels, le: numberText(bound) })} ${below}`);
  });
  lines.push(`${name}_bucket${labelText({ ...labels, le: '+Inf' })} ${count}`);
  lines.push(`${name}_sum${labelText(labels)} ${numberText(sum)}`, `${name}_count${labelText(labels)} ${count}`);
}

function labelText(labels: MetricSample['labels']): string {
  const all = Object.entries(labels).map(([name, value]) => `${name}="${escaped(String(value))}"`);
  return all.length === 0 ? '' : `{${all.join(',')}}`;
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function numberText(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  return String(value);
}
