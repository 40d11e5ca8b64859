/** The header line of a CSV file: its names, and which field of each record is which column. */

import { type Schema, shown } from '../../core/index.ts';
import { CsvField, withoutLineEnd } from './field.ts';

/** The field of a column that the file does not have: each row holds null there. */
export const ABSENT = -1;

/** What a header says, or what is wrong with it. */
export interface CsvHeader {
  readonly fault: string | undefined;
  readonly names: readonly string[];
  /** By column of the schema, the number of its field, or ABSENT. Empty where there is a fault. */
  readonly fieldOf: readonly number[];
}

/**
 * Reads a header whose names are the columns, in the order of the schema: `header: true`.
 *
 * @param u8 all of it is the line
 */
export function headerInOrder(u8: Uint8Array, delimiter: number, schema: Schema): CsvHeader {
  const read = namesOf(u8, delimiter);
  const { names } = read;
  const wanted = schema.fields.map((field) => field.name);
  const isRight = names.length === wanted.length && names.every((name, i) => name === wanted[i]);
  const fault = isRight
    ? undefined
    : `its header names ${shown(names)}, and the schema ${shown(wanted)}; name the columns in the order of the file, or give header: 'byName'`;
  return { names, fault: read.fault ?? fault, fieldOf: wanted.map((_, c) => c) };
}

/** Reads a header that has the columns somewhere, beside others: `header: 'byName'`. */
export function headerByName(u8: Uint8Array, delimiter: number, schema: Schema): CsvHeader {
  const { names, fault } = namesOf(u8, delimiter);
  if (fault !== undefined) return { names, fault, fieldOf: [] };
  const fieldOf: number[] = [];
  for (const { name, type } of schema.fields) {
    const field = names.indexOf(name);
    if (field < 0 && !type.nullable)
      return { names, fault: `its header has no column ${shown(name)}: it names ${shown(names)}. Make the column nullable if it may be missing`, fieldOf: [] };
    if (field >= 0 && names.indexOf(name, field + 1) >= 0) return { names, fault: `its header has two columns ${shown(name)}`, fieldOf: [] };
    fieldOf.push(field);
  }
  return { names, fault: undefined, fieldOf };
}

/** The names in a line, which may begin with a byte order mark. */
function namesOf(u8: Uint8Array, delimiter: number): { readonly names: readonly string[]; readonly fault: string | undefined } {
  const to = withoutLineEnd(u8, 0, u8.length);
  const field = new CsvField(u8, delimiter);
  const names: string[] = [];
  let at = u8[0] === 0xef && u8[1] === 0xbb && u8[2] === 0xbf ? 3 : 0;
  while (at <= to) {
    const next = field.find(at, to, 0);
    if (next < 0) return { names, fault: field.fault };
    const name = Buffer.from(u8.subarray(field.from, field.to)).toString();
    names.push(field.hasQuotes ? name.replaceAll('""', '"') : name);
    at = next + 1;
  }
  return { names, fault: undefined };
}
