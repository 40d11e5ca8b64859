/**
 * Where the values of columns are in a JSON object: the members of objects, as a tree, and what stands for a
 * value that is not there. Made from the options of `json()` when the pipeline is built.
 *
 * A column whose name has dots, but which is no member of a struct in the schema (`'geo.lat': f64`), may be in
 * a topic in two ways: as the member `lat` of an object `geo`, or as a member that is named `geo.lat`. Both are
 * read.
 */

import { type DataType, type Field, isType, kindText, listText, MillraceError, nearNames, pathOf, type Schema, shown } from '../../core/index.ts';

export interface JsonColumn {
  /** The names on the way to the value. */
  readonly path: readonly string[];
  /** The whole name of a member that has the value as well: it comes first. Undefined: there is no other way. */
  readonly plain: string | undefined;
  /** JSON of the value that stands for a missing one. */
  readonly default: Uint8Array | undefined;
}

/** A member of an object: that of a column, or an object with members of its own; perhaps none of both. */
export interface JsonMember {
  readonly key: string;
  /** Position among the columns, or -1. */
  column: number;
  /** Of a column with two ways to it: this is the plain one. */
  readonly isPlain: boolean;
  readonly members: JsonMember[];
}

/** Which of the two ways to a column with dots in its name. */
export type Ways = 'both' | 'plain' | 'path';

/**
 * @param from by column, the member to read, or the names on the way to it
 * @param defaults by column
 * @throws MillraceError ERR_MILLRACE_OPTION for names that are no columns, two columns of one member, and
 * defaults that do not fit
 */
export function jsonColumns(
  schema: Schema,
  from: Readonly<Record<string, string | readonly string[] | undefined>>,
  defaults: Readonly<Record<string, unknown>>,
): readonly JsonColumn[] {
  const given = flatDefaults(schema, defaults);
  checkNames('from', schema, Object.keys(from));
  const columns = schema.fields.map(
    (field): JsonColumn => ({ ...wayTo(field, Object.hasOwn(from, field.name) ? from[field.name] : undefined), default: given.get(field.name) }),
  );
  // Building the tree tells whether two columns want one member.
  const members = membersOf(
    columns.map((column, c) => ({ column, position: c })),
    'both',
  );
  checkTree(schema, members, '');
  return columns;
}

function wayTo(field: Field, from: string | readonly string[] | undefined): Pick<JsonColumn, 'path' | 'plain'> {
  if (from === undefined) {
    const path = field.type.nested ? pathOf(field) : field.name.split('.');
    return isWay(path) ? { path, plain: field.type.nested || path.length === 1 ? undefined : field.name } : { path: [field.name], plain: undefined };
  }
  if (typeof from === 'string') {
    const path = from.split('.');
    return path.length > 1 && isWay(path) ? { path, plain: from } : { path: [from], plain: undefined };
  }
  if (!Array.isArray(from) || from.length === 0 || from.some((name) => typeof name !== 'string')) {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `json(): from gives ${shown(from)} for the column ${shown(field.name)}. Give the name of a member, or a list of names: ['geo', 'lat'].`,
    );
  }
  return { path: [...from], plain: undefined };
}

/** A name that begins or ends with a dot, or has two in a row, is a name. */
function isWay(path: readonly string[]): boolean {
  return path.every((name) => name !== '');
}

/** The tree of the members that some columns are in. */
export function membersOf(columns: readonly { readonly column: JsonColumn; readonly position: number }[], ways: Ways): JsonMember[] {
  const members: JsonMember[] = [];
  for (const { column, position } of columns) {
    const { path, plain } = column;
    const member = memberAt(members, path, false);
    if (plain === undefined || ways !== 'plain') member.column = claimed(member, position);
    if (plain === undefined) continue;
    const other = memberAt(members, [plain], true);
    if (ways !== 'path') other.column = claimed(other, position);
  }
  for (const member of members) if (!hasColumn(member)) member.members.length = 0;
  return members;
}

function hasColumn({ column, members }: JsonMember): boolean {
  return column !== -1 || members.some(hasColumn);
}

/** -2 marks a member that two columns want. */
const TWICE = -2;
const claimed = (member: JsonMember, position: number): number => (member.column === -1 ? position : TWICE);

function memberAt(members: JsonMember[], path: readonly string[], isPlain: boolean): JsonMember {
  const [key, ...rest] = path as [string, ...string[]];
  let member = members.find((other) => other.key === key);
  if (member === undefined) {
    member = { key, column: -1, isPlain, members: [] };
    members.push(member);
  }
  return rest.length === 0 ? member : memberAt(member.members, rest, false);
}

function checkTree(schema: Schema, members: readonly JsonMember[], at: string): void {
  for (const member of members) {
    const path = `${at}${member.key}`;
    if (member.column === TWICE) {
      throw new MillraceError(
        'ERR_MILLRACE_OPTION',
        `json(): two columns read the member ${shown(path)}. Read it once, and add the other column by withColumns.`,
      );
    }
    if (member.column >= 0 && member.members.length > 0) {
      const { name, type } = schema.field(member.column);
      throw new MillraceError(
        'ERR_MILLRACE_OPTION',
        `json(): the column ${shown(name)} reads ${shown(path)} as ${kindText(type)}, and another column reads a member of it. Read it as one or the other.`,
      );
    }
    checkTree(schema, member.members, `${path}.`);
  }
}

function checkNames(option: string, schema: Schema, names: readonly string[]): void {
  const known = schema.fields.map(({ name }) => name);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const [near] = nearNames(unknown, known);
  throw new MillraceError(
    'ERR_MILLRACE_OPTION',
    `json(): ${option} names the column ${shown(unknown)}, which there is not. ${near === undefined ? `The columns are: ${known.join(', ')}.` : `Did you mean ${near}?`}`,
  );
}

/** Defaults by column, as JSON. Those of a struct may be given as an object. */
function flatDefaults(schema: Schema, defaults: Readonly<Record<string, unknown>>): ReadonlyMap<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  const add = (name: string, value: unknown): void => {
    if (value === undefined) return;
    const at = schema.indexOf(name);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array) && !(value instanceof Date);
    if (at < 0 && isObject && schema.fields.some((field) => field.type.nested && field.name.startsWith(`${name}.`))) {
      for (const [member, inner] of Object.entries(value)) add(`${name}.${member}`, inner);
      return;
    }
    checkNames('defaults', schema, [name]);
    const text = literalOf(schema.field(at).type, value);
    if (text === undefined) {
      throw new MillraceError(
        'ERR_MILLRACE_OPTION',
        `json(): the default of the column ${shown(name)} is ${shown(value)}, but the column holds ${kindText(schema.field(at).type)}. Give such a value.`,
      );
    }
    found.set(name, new TextEncoder().encode(text));
  };
  for (const [name, value] of Object.entries(defaults)) add(name, value);
  return found;
}

/** JSON that the codec reads as this value; undefined when the value is not of the type. */
function literalOf(type: DataType, value: unknown): string | undefined {
  if (value === null) return type.nullable ? 'null' : undefined;
  const made = listText({ ...type, nullable: false } satisfies DataType, [value]);
  if (!('text' in made) || !isType(type)) return undefined;
  const text = made.text.slice(1, -1);
  // A number that is none has no JSON.
  return text === 'null' && (type.name === 'f64' || type.name === 'f32') ? undefined : text;
}
