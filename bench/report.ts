/** Results, for people and for programs. */

import type { CaseResult, EntryResult, Figures } from './harness.ts';

/** One case: a line for ours and one per peer. */
export function tableOf({ name, unit, ours, peers, skipped }: CaseResult): string {
  const lines = [`\n${name}`];
  const width = Math.max(...['ours', ...peers.map((peer) => peer.name), ...Object.keys(skipped)].map((text) => text.length));
  for (const entry of [ours, ...peers]) {
    const ratio = entry === ours ? '' : `   ours ${shown(entry.ratio.median)}x${spreadOf(entry.ratio)}`;
    lines.push(
      `  ${entry.name.padEnd(width)}  ${shown(entry.figures.median).padStart(7)} ${unit}${spreadOf(entry.figures)}${entry.cpuShare > 1.2 ? `  ${entry.cpuShare.toFixed(1)} threads busy` : ''}${ratio}`,
    );
  }
  for (const [peer, why] of Object.entries(skipped)) lines.push(`  ${peer.padEnd(width)}  skipped: ${why}`);
  return lines.join('\n');
}

const spreadOf = ({ min, max }: Figures): string => ` (${shown(min)} .. ${shown(max)})`;

/** The number with three digits. */
function shown(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value >= 1 ? value.toFixed(2) : value.toPrecision(2);
}

interface JsonEntry {
  readonly value: number;
  readonly spread: readonly [number, number];
  readonly threadsBusy: number;
}

export interface JsonReport {
  readonly results: readonly {
    readonly name: string;
    readonly ours: number;
    readonly unit: string;
    readonly spread: readonly [number, number];
    /** Speed of ours relative to the peer's. */
    readonly peers: Readonly<Record<string, number>>;
    readonly entries: Readonly<Record<string, JsonEntry>>;
    readonly skipped: Readonly<Record<string, string>>;
    readonly size: number;
  }[];
  readonly verified: boolean;
}

export function jsonOf<About extends object>(results: readonly CaseResult[], about: About): JsonReport & About {
  const round = (value: number): number => Number(value.toPrecision(4));
  const entryOf = ({ figures, cpuShare }: EntryResult): JsonEntry => ({
    value: round(figures.median),
    spread: [round(figures.min), round(figures.max)],
    threadsBusy: round(cpuShare),
  });
  return {
    results: results.map(({ name, ours, unit, peers, skipped, size }) => ({
      name,
      ours: round(ours.figures.median),
      unit,
      spread: [round(ours.figures.min), round(ours.figures.max)] as const,
      peers: Object.fromEntries(peers.map((peer) => [peer.name, round(peer.ratio.median)])),
      entries: Object.fromEntries([ours, ...peers].map((entry) => [entry.name, entryOf(entry)])),
      skipped,
      size,
    })),
    verified: results.every(({ wrong }) => wrong.length === 0),
    ...about,
  };
}
