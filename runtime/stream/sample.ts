/** `sample`: a share of the rows, by a hash of their values, so that a replay takes the same ones. */

import { checkOptionNames, MillraceError, type Schema, shown } from '../../core/index.ts';

export interface SampleOptions<R = Readonly<Record<string, unknown>>> {
  /** Columns whose values decide; default: all. */
  readonly by?: (keyof R & string) | readonly (keyof R & string)[];
  /** Another seed takes other rows. Default 0. */
  readonly seed?: number;
}

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;
const TWO_32 = 4_294_967_296;

/**
 * The function of the filter.
 *
 * @throws MillraceError ERR_MILLRACE_OPTION
 */
export function sampler(share: number, options: SampleOptions, input: Schema): (row: Readonly<Record<string, unknown>>) => boolean {
  checkOptionNames('sample()', options, { by: true, seed: true });
  const { by, seed = 0 } = options;
  if (typeof share !== 'number' || !(share >= 0 && share <= 1))
    throw new MillraceError('ERR_MILLRACE_OPTION', `sample() got ${shown(share)}; it takes the share of the rows to keep, from 0 to 1.`);
  if (!Number.isSafeInteger(seed)) throw new MillraceError('ERR_MILLRACE_OPTION', `sample(): seed is ${shown(seed)}; it must be a whole number.`);
  const names = by === undefined ? input.fields.map(({ name }) => name) : [by].flat();
  for (const name of names) input.require(name, 'sample() by');
  const limit = share * TWO_32;
  return (row) => hashOf(seed, names.map((name) => textOf(row[name])).join('\u0000')) < limit;
}

function textOf(value: unknown): string {
  return value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : `${typeof value} ${String(value)}`;
}

/** FNV-1a over the characters, and the finaliser of MurmurHash3, so that short texts spread as well. */
function hashOf(seed: number, text: string): number {
  let hash = (FNV_OFFSET ^ seed) >>> 0;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), FNV_PRIME);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
