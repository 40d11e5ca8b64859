/**
 * `millrace lag`: how far the groups of a pipeline's sources have got, by partition, from outside of the job. It reads no
 * record and joins no group, so the job may run.
 */

import { MillraceError, withoutSecrets } from '../../core/index.ts';
import type { PartitionLag, Source } from '../../io/index.ts';

export interface SourceLag {
  readonly source: string;
  readonly partitions: readonly PartitionLag[];
  /** Rows that are still to be read, over all partitions. Records of transactions that were aborted count, too. */
  readonly lag: number;
}

/**
 * @returns one for each source that has a group, and the names of those that have none
 * @throws MillraceError of a source that cannot be asked; ERR_MILLRACE_PIPELINE where no source has a group
 */
export async function lagsOf(sources: readonly Source[], signal: AbortSignal): Promise<{ readonly lags: SourceLag[]; readonly without: string[] }> {
  const asked = sources.filter((source) => source.lag !== undefined);
  if (asked.length === 0) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `No source of this pipeline has a group: ${sources.map(({ name }) => name).join(', ')}. There is a lag of kafka.source and log.source.`,
    );
  }
  const lags: SourceLag[] = [];
  for (const source of asked) {
    const partitions = (await source.lag?.(signal)) ?? [];
    lags.push({ source: source.name, partitions, lag: partitions.reduce((sum, one) => sum + behind(one), 0) });
  }
  return { lags, without: sources.filter((source) => source.lag === undefined).map(({ name }) => name) };
}

/** Rows of a partition that are still to be read. A position before the oldest record counts from that. */
function behind({ first, committed, end }: PartitionLag): number {
  return Math.max(0, end - Math.max(first, committed ?? first));
}

/** For a person: a table for each source. */
export function describeLag(lags: readonly SourceLag[]): string {
  return lags
    .map(({ source, partitions, lag }) => {
      const rows = [
        ['partition', 'committed', 'end', 'lag'],
        ...partitions.map((one) => [String(one.partition), one.committed === undefined ? '-' : grouped(one.committed), grouped(one.end), grouped(behind(one))]),
      ];
      const widths = (rows[0] as string[]).map((_, column) => Math.max(...rows.map((row) => (row[column] as string).length)));
      const lines = rows.map((row) => row.map((cell, column) => cell.padStart(widths[column] as number)).join('  '));
      return withoutSecrets(`${source}: lag ${grouped(lag)}\n${lines.join('\n')}`);
    })
    .join('\n\n');
}

/** For a program: one object. */
export function lagObject(lags: readonly SourceLag[]): unknown {
  return lags.map(({ source, partitions, lag }) => ({
    source,
    lag,
    partitions: partitions.map((one) => ({ ...one, committed: one.committed ?? null, lag: behind(one) })),
  }));
}

const grouped = (n: number): string => n.toLocaleString('en-US');
