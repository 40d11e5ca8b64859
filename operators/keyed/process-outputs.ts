/**
 * Several results of one process(), in the batches of one schema: the columns of the main result, a number that
 * says which result a row is of, and the columns of each further result under names of ours. A row has zeros in
 * the columns that are not its own. Behind the operator each result takes its rows out by the number, and its
 * columns by their names.
 */

import { type AnyRow, type Field, MillraceError, memberOf, rowObject, Schema, setMember, shown, u32 } from '../../core/index.ts';

/** Which result a row is of: 0 is the main one. */
export const OUTPUT_NUMBER = '[output]';

/** The name that a column of a further result has in the batches of the operator. */
export function columnOfOutput(output: string, column: string): string {
  return `[${output}].${column}`;
}

/** The columns of the batches. Without further results: those of the main one. */
export function schemaOfOutputs(main: Schema, outputs: Readonly<Record<string, Schema>>): Schema {
  const names = Object.keys(outputs);
  if (names.length === 0) return main;
  const fields: Field[] = [...main.fields, { name: OUTPUT_NUMBER, type: u32 }];
  for (const name of names) for (const { name: column, type } of (outputs[name] as Schema).fields) fields.push({ name: columnOfOutput(name, column), type });
  return new Schema(fields);
}

/** Makes the rows of these batches. */
export class OutputRows {
  readonly #main: Schema;
  readonly #names: readonly string[];
  readonly #outputs: Readonly<Record<string, Schema>>;
  /** The columns of the batches, with the values of a row that has none of its own. */
  readonly #fields: readonly Field[];
  readonly #empty: readonly unknown[];

  constructor(main: Schema, outputs: Readonly<Record<string, Schema>>) {
    this.#main = main;
    this.#names = Object.keys(outputs);
    this.#outputs = outputs;
    this.#fields = schemaOfOutputs(main, outputs).fields;
    this.#empty = this.#fields.map(({ type }) => emptyOf(type));
  }

  /** The row of the main result, or of the one that is named. */
  rowOf(output: unknown, row: AnyRow | undefined): AnyRow {
    if (typeof output !== 'string') return this.#names.length === 0 ? (output as AnyRow) : this.#placed(this.#main, 0, output as AnyRow, (column) => column);
    const number = this.#names.indexOf(output);
    if (number < 0) {
      throw new MillraceError(
        'ERR_MILLRACE_USER_FUNCTION',
        `emit() names the output ${shown(output)}, which process() does not have${this.#names.length === 0 ? ' (it has none)' : `; it has ${this.#names.map(shown).join(', ')}`}. Give its columns: outputs: { ${output}: { ... } }.`,
      );
    }
    if (typeof row !== 'object' || row === null)
      throw new MillraceError('ERR_MILLRACE_USER_FUNCTION', `emit(${shown(output)}) got ${shown(row)} where a row is needed.`);
    return this.#placed(this.#outputs[output] as Schema, number + 1, row, (column) => columnOfOutput(output, column));
  }

  #placed(schema: Schema, number: number, row: AnyRow, nameOf: (column: string) => string): AnyRow {
    const placed = rowObject(this.#fields, this.#empty);
    placed[OUTPUT_NUMBER] = number;
    for (const field of schema.fields) {
      const value = field.type.nested || Object.hasOwn(row, field.name) ? memberOf(row, field) : undefined;
      setMember(placed, { name: nameOf(field.name), type: field.type }, value);
    }
    return placed;
  }
}

function emptyOf({ name, nullable, element, json }: Field['type']): unknown {
  if (nullable) return null;
  if (element !== undefined) return [];
  if (json) return 'null';
  if (name === 'utf8') return '';
  if (name === 'binary') return new Uint8Array(0);
  return name === 'bool' ? false : name === 'i64' ? 0n : 0;
}
