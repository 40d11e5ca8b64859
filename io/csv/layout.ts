/** What a CSV decoder has to know of its records besides the schema. */

import type { TimeFormat } from '../time-format.ts';

export interface CsvLayout {
  readonly delimiter: number;
  /** False: there is none. True: it names all columns in their order. */
  readonly header: boolean | 'byName';
  /** By column of the schema: the unquoted texts that stand for null, where the column is nullable. */
  readonly nulls: readonly (readonly Uint8Array[])[];
  /** By column of the schema; undefined: milliseconds or ISO 8601, without an offset UTC. */
  readonly timeFormats: readonly (TimeFormat | undefined)[];
}
