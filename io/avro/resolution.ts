/**
 * Schema resolution, as of the specification: what a writer's schema gives to a reader's. Fields are found by name
 * or alias; those that only the writer has are skipped, those that only the reader has get their default. int, long,
 * float and double are promoted, string and bytes are one. Where both name a unit of instants, it is the writer's
 * that counts.
 */

import { type SlabAllocator, shown } from '../../core/index.ts';
import type { AvroColumns, AvroPlace } from './columns.ts';
import { encodedDefault } from './json-value.ts';
import { type AvroField, type AvroType, bareName, branchName, isUnionOfNull, soleBranch, unitOf } from './schema.ts';
import { OP, Step, WIRE } from './steps.ts';

/** Two schemas that do not go together. */
export class Unresolvable extends Error {}

const NUMBERS: Readonly<Record<string, readonly string[]>> = {
  int: ['int'],
  long: ['int', 'long'],
  float: ['int', 'long', 'float'],
  double: ['int', 'long', 'float', 'double'],
};
const encoder = new TextEncoder();

export class Resolution {
  readonly #slabs: SlabAllocator | undefined;
  readonly #positions: ReadonlyMap<number, number>;
  readonly #skips = new Map<AvroType, Step>();
  readonly #texts = new Map<AvroType, Map<AvroType, Step>>();
  /** The pairs of `#texts`, in their order. */
  readonly #made: (readonly [writer: AvroType, reader: AvroType])[] = [];
  /** Slabs of defaults. */
  readonly #owned: number[] = [];

  /**
   * @param slabs undefined: the steps are not to be run
   * @param columns positions of the columns that are wanted, in the order of the writer (ColumnWriter)
   */
  constructor(slabs: SlabAllocator | undefined, columns: readonly number[]) {
    this.#slabs = slabs;
    this.#positions = new Map(columns.map((at, w) => [at, w]));
  }

  /**
   * The step that reads a record.
   *
   * @throws Unresolvable
   */
  record(writer: AvroType, reader: AvroType, { places }: AvroColumns): Step {
    if (writer.kind !== 'record') throw new Unresolvable(`the writer's schema is ${branchName(writer)}, and the reader's is a record`);
    this.#mustBeNamed(writer, reader, '');
    return this.#struct(writer, places, '');
  }

  /** Gives back the bytes of defaults. */
  release(): void {
    for (const slab of this.#owned) this.#slabs?.free(slab);
    this.#owned.length = 0;
  }

  #struct(writer: AvroType, places: readonly AvroPlace[], at: string): Step {
    const step = new Step(OP.record);
    const left = new Set(places);
    const fields = writer.fields as readonly AvroField[];
    for (const field of fields) {
      const place =
        places.find(({ field: wanted }) => wanted.name === field.name) ??
        places.find(({ field: wanted }) => wanted.aliases.includes(field.name) && !fields.some(({ name }) => name === wanted.name));
      if (place === undefined || !left.delete(place)) step.steps.push(this.#skip(field.type));
      else step.steps.push(this.#place(field.type, place, `${at}${place.field.name}`));
    }
    for (const place of left) {
      const name = `${at}${place.field.name}`;
      if (place.field.default === undefined) throw new Unresolvable(`the writer's schema has no field ${shown(name)}, and the reader's gives it no default`);
      if (columnsOf(place).every((column) => !this.#positions.has(column))) continue;
      step.steps.push(this.#default(place.field, (type) => this.#place(type, place, name), name));
    }
    step.name = at.slice(0, -1);
    return step;
  }

  #default(field: AvroField, read: (type: AvroType) => Step, name: string): Step {
    const bytes = encodedDefault(field.type, field.default);
    if (bytes === undefined) throw new Unresolvable(`the default of ${shown(name)} is ${shown(field.default)}, which is no value of its type`);
    const step = new Step(OP.default);
    if (this.#slabs !== undefined) {
      step.from = this.#slabs.alloc(Math.max(bytes.length, 1));
      this.#owned.push(step.from);
      this.#slabs.memory.u8.set(bytes, step.from);
      step.bytes = bytes.length;
    }
    step.steps = [read(field.type)];
    return step;
  }

  /** Reads a value of the writer's type into the columns of a place. */
  #place(writer: AvroType, place: AvroPlace, name: string): Step {
    const columns = columnsOf(place).flatMap((column) => this.#positions.get(column) ?? []);
    if (columns.length === 0) return this.#skip(writer);
    if (writer.kind === 'union') return this.#branches(writer, (branch) => this.#place(branch, place, name));
    if (writer.kind === 'null' && isUnionOfNull(place.field.type)) {
      const step = new Step(OP.nulls);
      step.columns = columns;
      return step;
    }
    if (place.column < 0) {
      if (writer.kind !== 'record') throw mismatch(writer, place.type, name);
      this.#mustBeNamed(writer, place.type, name);
      return this.#struct(writer, place.members, `${name}.`);
    }
    const column = columns[0] as number;
    if (isText(place.type)) {
      const step = new Step(OP.text, column);
      step.steps = [this.#json(writer, place.type, name)];
      step.name = name;
      return step;
    }
    return this.#scalar(writer, place.type, column, name);
  }

  /** A branch that the reader cannot have is a fault of the records that have it. */
  #branches(writer: AvroType, read: (branch: AvroType) => Step): Step {
    const step = new Step(OP.union);
    let last: Unresolvable | undefined;
    let hasOne = false;
    for (const branch of writer.branches as readonly AvroType[]) {
      try {
        step.steps.push(read(branch));
        hasOne = true;
      } catch (error) {
        if (!(error instanceof Unresolvable)) throw error;
        last = error;
        const fault = new Step(OP.fault);
        fault.name = error.message;
        step.steps.push(fault);
      }
    }
    if (!hasOne && last !== undefined) throw last;
    return step;
  }

  #scalar(writer: AvroType, reader: AvroType, column: number, name: string): Step {
    const make = (op: number): Step => {
      const step = new Step(op, column);
      step.name = name;
      return step;
    };
    const { kind, logical } = reader;
    if (Object.hasOwn(NUMBERS, kind)) {
      if (!(NUMBERS[kind] as readonly string[]).includes(writer.kind)) throw mismatch(writer, reader, name);
      const wire = WIRE[writer.kind as keyof typeof WIRE];
      if (logical === 'date') return make(OP.date);
      const unit = unitOf(logical);
      const step = make(unit !== undefined ? OP.timestamp : kind === 'int' ? OP.i32 : kind === 'long' ? OP.i64 : kind === 'float' ? OP.f32 : OP.f64);
      step.wire = wire;
      if (unit !== undefined) step.size = unitOf(writer.logical) ?? unit;
      return step;
    }
    if (kind === 'null' && writer.kind === 'null') return Object.assign(make(column < 0 ? OP.jsonNull : OP.nulls), { columns: [column] });
    if (kind === 'boolean' && writer.kind === 'boolean') return make(OP.bool);
    if (kind === 'enum' && writer.kind === 'enum') {
      this.#mustBeNamed(writer, reader, name);
      const step = make(OP.enum);
      const known = reader.symbols as readonly string[];
      step.symbols = (writer.symbols as readonly string[]).map((symbol) => {
        const text = known.includes(symbol) ? symbol : reader.symbolDefault;
        return text === undefined ? undefined : encoder.encode(column < 0 ? JSON.stringify(text) : text);
      });
      return step;
    }
    const isBytes = (type: AvroType): boolean => type.kind === 'bytes' || type.kind === 'string';
    if (kind === 'fixed' ? writer.kind === 'fixed' && writer.size === reader.size : isBytes(reader) && isBytes(writer)) {
      if (kind === 'fixed') this.#mustBeNamed(writer, reader, name);
      const isDecimal = logical === 'decimal';
      if (isDecimal && writer.logical === 'decimal' && (writer.scale !== reader.scale || writer.precision !== reader.precision))
        throw new Unresolvable(
          `${shown(name)} is a decimal(${writer.precision}, ${writer.scale}) of the writer, and a decimal(${reader.precision}, ${reader.scale}) of the reader`,
        );
      const step = make(isDecimal ? OP.decimal : kind === 'fixed' ? (logical === 'uuid' ? OP.uuid : OP.fixed) : kind === 'string' ? OP.utf8 : OP.binary);
      step.wire = kind === 'fixed' ? (reader.size as number) : -1;
      if (isDecimal) {
        step.size = reader.scale as number;
        step.most = Math.ceil(((reader.precision as number) * Math.log2(10) + 1) / 8);
      }
      return step;
    }
    throw mismatch(writer, reader, name);
  }

  /** The step that writes a value as JSON, one for each pair of types. */
  #json(writer: AvroType, reader: AvroType, name: string): Step {
    let known = this.#texts.get(writer);
    if (known === undefined) this.#texts.set(writer, (known = new Map()));
    const made = known.get(reader);
    if (made !== undefined) return made;
    const step = new Step(OP.nothing);
    known.set(reader, step);
    const count = this.#made.push([writer, reader]);
    try {
      return Object.assign(step, this.#newJson(writer, reader, name));
    } catch (error) {
      // What was made meanwhile may contain it.
      for (const [one, other] of this.#made.splice(count - 1)) this.#texts.get(one)?.delete(other);
      throw error;
    }
  }

  #newJson(writer: AvroType, reader: AvroType, name: string): Step {
    if (writer.kind === 'union') return this.#branches(writer, (branch) => this.#json(branch, reader, name));
    if (reader.kind === 'union') return this.#intoUnion(writer, reader, name);
    if (reader.kind === 'array' || reader.kind === 'map') {
      if (writer.kind !== reader.kind) throw mismatch(writer, reader, name);
      const step = new Step(reader.kind === 'array' ? OP.jsonArray : OP.jsonMap);
      const items = writer.items as AvroType;
      step.steps = [this.#json(items, reader.items as AvroType, `${name}[]`)];
      step.size = leastBytes(items) + (reader.kind === 'map' ? 1 : 0);
      step.isMap = reader.kind === 'map';
      return step;
    }
    if (reader.kind === 'record') return this.#jsonRecord(writer, reader, name);
    return this.#scalar(writer, reader, -1, name);
  }

  /** The writer's type is none of several: the first of the reader's that takes it, one of the same name or kind before others. */
  #intoUnion(writer: AvroType, reader: AvroType, name: string): Step {
    const branches = reader.branches as readonly AvroType[];
    const isPlain = soleBranch(reader) !== undefined;
    const key = branchName(writer);
    let last: Unresolvable | undefined;
    for (const branch of [...branches.filter((other) => branchName(other) === key), ...branches.filter((other) => branchName(other) !== key)]) {
      try {
        const step = this.#json(writer, branch, name);
        // A step of its own: the other may not be complete yet.
        const around = new Step(isPlain || branch.kind === 'null' ? OP.pass : OP.jsonTagged);
        if (around.op === OP.jsonTagged) around.key = encoder.encode(`{${JSON.stringify(branchName(branch))}:`);
        around.steps = [step];
        return around;
      } catch (error) {
        if (!(error instanceof Unresolvable)) throw error;
        last = error;
      }
    }
    throw last ?? mismatch(writer, reader, name);
  }

  #jsonRecord(writer: AvroType, reader: AvroType, name: string): Step {
    if (writer.kind !== 'record') throw mismatch(writer, reader, name);
    this.#mustBeNamed(writer, reader, name);
    const step = new Step(OP.jsonRecord);
    const fields = writer.fields as readonly AvroField[];
    const order: number[] = [];
    for (const field of reader.fields as readonly AvroField[]) {
      const path = `${name}.${field.name}`;
      const at = fields.findIndex((other) => other.name === field.name);
      const found = at >= 0 ? at : fields.findIndex((other) => field.aliases.includes(other.name));
      if (found < 0 && field.default === undefined)
        throw new Unresolvable(`the writer's schema has no field ${shown(path)}, and the reader's gives it no default`);
      const read = (type: AvroType): Step => this.#json(type, field.type, path);
      const member = new Step(OP.nothing);
      member.key = encoder.encode(`${order.length === 0 ? '' : ','}${JSON.stringify(field.name)}:`);
      member.steps = [found < 0 ? this.#default(field, read, path) : read((fields[found] as AvroField).type)];
      order.push(found);
      step.steps.push(member);
    }
    if (order.length !== fields.length || order.some((found, n) => found !== n)) {
      step.order = order;
      step.skips = fields.map((field) => this.#skip(field.type));
    }
    return step;
  }

  #skip(type: AvroType): Step {
    const known = this.#skips.get(type);
    if (known !== undefined) return known;
    const step = new Step(OP.nothing);
    this.#skips.set(type, step);
    switch (type.kind) {
      case 'null':
        break;
      case 'boolean':
      case 'float':
      case 'double':
      case 'fixed':
        step.op = OP.skipFixed;
        step.size = type.kind === 'fixed' ? (type.size as number) : type.kind === 'double' ? 8 : type.kind === 'float' ? 4 : 1;
        break;
      case 'int':
      case 'long':
      case 'enum':
        step.op = OP.skipVarint;
        break;
      case 'bytes':
      case 'string':
        step.op = OP.skipBytes;
        break;
      case 'array':
      case 'map':
        step.op = OP.skipBlocks;
        step.isMap = type.kind === 'map';
        step.size = leastBytes(type.items as AvroType) + (step.isMap ? 1 : 0);
        step.steps = [this.#skip(type.items as AvroType)];
        break;
      case 'union':
        step.op = OP.union;
        step.steps = (type.branches as readonly AvroType[]).map((branch) => this.#skip(branch));
        break;
      default:
        step.op = OP.record;
        step.steps = (type.fields as readonly AvroField[]).map((field) => this.#skip(field.type));
    }
    return step;
  }

  #mustBeNamed(writer: AvroType, reader: AvroType, at: string): void {
    const [name, other] = [writer.name as string, reader.name as string];
    if (bareName(name) === bareName(other) || (reader.aliases as readonly string[]).includes(name)) return;
    const where = at === '' ? '' : `${shown(at)}: `;
    throw new Unresolvable(
      `${where}the writer's ${writer.kind} is named ${name}, the reader's ${other}; give the reader's an alias: aliases: [${shown(name)}]`,
    );
  }
}

/** Whether a column of the type is JSON. */
export function isText({ kind }: AvroType): boolean {
  return kind === 'array' || kind === 'map' || kind === 'union' || kind === 'record';
}

function columnsOf(place: AvroPlace): readonly number[] {
  return place.column >= 0 ? [place.column] : place.members.flatMap(columnsOf);
}

function mismatch(writer: AvroType, reader: AvroType, name: string): Unresolvable {
  return new Unresolvable(`${shown(name)} is ${textOf(writer)} of the writer, and ${textOf(reader)} of the reader`);
}

function textOf(type: AvroType): string {
  if (type.kind === 'union') return `a union of ${(type.branches as readonly AvroType[]).map(branchName).join(', ')}`;
  return type.kind === 'fixed' ? `${type.name} (fixed, ${type.size} bytes)` : branchName(type);
}

/** Fewest bytes that a value takes. One that may take none never takes any. */
function leastBytes(type: AvroType, open: ReadonlySet<AvroType> = new Set()): number {
  switch (type.kind) {
    case 'null':
      return 0;
    case 'float':
      return 4;
    case 'double':
      return 8;
    case 'fixed':
      return type.size as number;
    case 'record': {
      // A record that contains itself directly has no value at all.
      if (open.has(type)) return 1;
      const inner = new Set([...open, type]);
      return (type.fields as readonly AvroField[]).reduce((sum, field) => sum + leastBytes(field.type, inner), 0);
    }
    default:
      return 1;
  }
}
