/**
 * Polars with one thread, its lazy engine. The rows are in a DataFrame before the clock starts; the result is
 * a DataFrame.
 */

import { GroupDigest, highOf, type KeyKind, pairOf, readRows, textOf, weightOfLong, weightOfText, weightOfWord, wordOf } from '../cases/group-by-input.ts';
import type { Contest, Entry, Input } from '../harness.ts';
import { importPeer, missingPackage } from './installed.ts';

export function polarsGroupBy(kind: KeyKind): Entry {
  return { isHeavy: true, env: { POLARS_MAX_THREADS: '1' }, missing: () => missingPackage('nodejs-polars'), start: (input) => contestOf(kind, input) };
}

async function contestOf(kind: KeyKind, input: Input): Promise<Contest> {
  const { default: pl } = await importPeer('nodejs-polars');
  const { ids, values } = readRows(input);
  const value = pl.Series('v', values);
  const named = (): [string, unknown][] => {
    if (kind === 'u32') return [['k', pl.Series('k', ids.map(wordOf))]];
    if (kind === 'i64') {
      const longs = new BigInt64Array(ids.length);
      const halves = new Uint32Array(longs.buffer);
      ids.forEach((id, row) => {
        halves[row * 2] = wordOf(id);
        halves[row * 2 + 1] = highOf(id);
      });
      return [['k', pl.Series('k', longs)]];
    }
    if (kind === 'utf8') return [['k', pl.Series('k', Array.from(ids, textOf), pl.Utf8)]];
    return [
      [
        'k',
        pl.Series(
          'k',
          Array.from(ids, (id) => pairOf(id).text),
          pl.Utf8,
        ),
      ],
      [
        'n',
        pl.Series(
          'n',
          Int32Array.from(ids, (id) => pairOf(id).number),
        ),
      ],
    ];
  };
  const keys = named();
  const frame = pl.DataFrame(Object.fromEntries([...keys, ['v', value]]));
  const by = keys.map(([name]) => name);
  const v = pl.col('v');
  const query = frame.lazy().groupBy(by).agg(v.count().alias('c'), v.sum().alias('s'), v.min().alias('lo'), v.max().alias('hi'));
  let result = frame.head(0);
  return {
    units: ids.length,
    run() {
      result = query.collectSync();
    },
    digest() {
      const [c, s, lo, hi] = ['c', 's', 'lo', 'hi'].map((name) => result.getColumn(name).toArray() as number[]) as [number[], number[], number[], number[]];
      // An i64 comes out as a rounded number, so its remainder is computed inside.
      const k = (kind === 'i64' ? result.select(pl.col('k').modulo(pl.lit(997).cast(pl.Int64))) : result).getColumn('k').toArray() as (
        | number
        | bigint
        | string
      )[];
      const n = by.length > 1 ? (result.getColumn('n').toArray() as number[]) : undefined;
      const digest = new GroupDigest();
      k.forEach((key, i) => digest.add(weightOf(key) + (n?.[i] ?? 0), Number(c[i]), s[i] as number, lo[i] as number, hi[i] as number));
      return digest.digest();
    },
  };
}

function weightOf(key: number | bigint | string): number {
  if (typeof key === 'number') return weightOfWord(key);
  if (typeof key === 'bigint') return weightOfLong(Number(key >> 32n), Number(key & 0xffff_ffffn));
  return weightOfText(key.length, key.charCodeAt(1));
}
