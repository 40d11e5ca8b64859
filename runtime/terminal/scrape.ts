/** The metrics of a running job, fetched from its `/metrics` and read back: samples by name, with their labels. */

import { MillraceError, shown } from '../../core/index.ts';

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Scrape {
  readonly atMs: number;
  readonly samples: ReadonlyMap<string, readonly Sample[]>;
}

const ANSWER_MS_MAX = 5_000;

/**
 * @param address as `--metrics` or `--dashboard` prints it, with or without `/metrics` and `http://`
 * @throws MillraceError ERR_MILLRACE_OPTION where it is no URL
 */
export function metricsUrl(address: string): URL {
  try {
    const url = new URL(/^https?:\/\//.test(address) ? address : `http://${address}`);
    if (!url.pathname.endsWith('/metrics')) url.pathname = `${url.pathname.replace(/\/$/, '')}/metrics`;
    return url;
  } catch {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `top got ${shown(address)}. Give the address that the job prints: http://127.0.0.1:9464, or 127.0.0.1:9464.`,
    );
  }
}

/** @throws MillraceError ERR_MILLRACE_SOURCE where no job answers there */
export async function scrape(url: URL): Promise<Scrape> {
  let text: string;
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS_MAX) });
    text = await answer.text();
    if (!answer.ok) throw new Error(`it says ${answer.status}`);
  } catch (cause) {
    const why = ((cause as Error).cause as Error | undefined)?.message ?? (cause as Error).message;
    throw new MillraceError(
      'ERR_MILLRACE_SOURCE',
      `No job answers at ${url.href}: ${why}. Start one with --metrics <port> or --dashboard <port>, and give its address.`,
      {
        cause,
      },
    );
  }
  const samples = samplesOf(text);
  if (!samples.has('millrace_job_state')) {
    throw new MillraceError('ERR_MILLRACE_SOURCE', `What answers at ${url.href} is no job of millrace: it has no millrace_job_state. Check the port.`);
  }
  return { atMs: performance.now(), samples };
}

/** The exposition format of Prometheus, as far as observe/prometheus-text writes it. */
export function samplesOf(text: string): Map<string, Sample[]> {
  const samples = new Map<string, Sample[]>();
  for (const line of text.split('\n')) {
    const [, name, labels = '', value] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (name === undefined) continue;
    const named = samples.get(name) ?? [];
    samples.set(name, named);
    named.push({ labels: labelsOf(labels), value: numberOf(value as string) });
  }
  return samples;
}

function labelsOf(text: string): Record<string, string> {
  const escapes: Readonly<Record<string, string>> = { n: '\n' };
  return Object.fromEntries(
    [...text.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g)].map(([, name, value]) => [
      name,
      (value as string).replaceAll(/\\(.)/g, (_, one: string) => escapes[one] ?? one),
    ]),
  );
}

function numberOf(text: string): number {
  return text === '+Inf' ? Number.POSITIVE_INFINITY : text === '-Inf' ? Number.NEGATIVE_INFINITY : Number(text);
}
