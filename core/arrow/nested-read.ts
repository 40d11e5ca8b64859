/**
 * Batches with structs and lists from Arrow IPC bytes, in either form that read.ts takes. Values are copied into
 * columns of ours, lists as their texts: this is slower than the views of read.ts. Everything is checked before it
 * is used; what read.ts refuses is refused here.
 */

import { Batch, BatchBuilder, type Column } from '../batch/index.ts';
import type { SlabAllocator } from '../memory/index.ts';
import { type DataType, kindText, Schema } from '../schema.ts';
import { invalid, KIND, MessageFrame } from './message.ts';
import { type Node, treeOf } from './nested.ts';
import { readWireFields, typeAdvice, type WireField } from './schema.ts';

/** A field of the tree, and where it lies in record batches. Node -1: nobody wants it. */
interface Place {
  readonly node: Node;
  readonly at: number;
  readonly buffer: number;
  readonly inner: readonly Place[];
  /** How messages name it. */
  readonly path: string;
}

interface Plan {
  readonly places: readonly Place[];
  readonly nodes: number;
  readonly buffers: number;
}

export class NestedArrowReader {
  readonly schema: Schema;
  readonly #slabs: SlabAllocator;
  readonly #frame: MessageFrame;
  readonly #wanted: ReadonlySet<number>;
  /** The columns that are wanted, as they are in the builders. */
  readonly #columns: readonly number[];
  readonly #built: Schema;
  #builders: BatchBuilder[] = [];

  /** @param columns positions in `schema` of the columns that will be used; the others get no bytes */
  constructor(slabs: SlabAllocator, schema: Schema, columns: readonly number[]) {
    this.schema = schema;
    this.#slabs = slabs;
    this.#frame = new MessageFrame(slabs.memory);
    this.#wanted = new Set(columns);
    this.#columns = [...columns].sort((a, b) => a - b);
    this.#built = new Schema(this.#columns.map((c) => schema.field(c)));
  }

  /**
   * All batches of a value; they are valid until the next one is read. All or nothing.
   *
   * @throws MillraceError ERR_MILLRACE_BATCH
   */
  read(address: number, byteLength: number): Batch[] {
    for (const builder of this.#builders.splice(0)) builder.release();
    const frame = this.#frame;
    const limit = address + byteLength;
    const batches: Batch[] = [];
    let plan: Plan | undefined;
    let isFirst = true;
    for (let at = address; at < limit || isFirst; at = frame.end) {
      frame.open(at, limit);
      if (frame.kind === KIND.end) {
        if (frame.end !== limit) invalid(`${limit - frame.end} bytes follow the end of the stream`);
        break;
      }
      if (frame.kind === KIND.schema) {
        if (!isFirst) invalid('a second schema in one stream');
        plan = this.#planOf(readWireFields(frame));
      } else if (frame.kind === KIND.recordBatch) {
        plan ??= this.#planOf(wireTree(treeOf(this.schema)));
        batches.push(this.#readBatch(plan));
      }
      isFirst = false;
    }
    return batches;
  }

  #planOf(fields: readonly WireField[]): Plan {
    const total = { nodes: 0, buffers: 0 };
    const places = this.#placesOf(treeOf(this.schema), fields, total, '');
    return { places, ...total };
  }

  /** Finds the nodes among the fields by their names, and counts what all of these take. */
  #placesOf(nodes: readonly Node[], fields: readonly WireField[], total: { nodes: number; buffers: number }, at: string): Place[] {
    const found: Place[] = [];
    const names = new Set<string>();
    for (const field of fields) {
      const node = nodes.find(({ name }) => name === field.name);
      const path = JSON.stringify(`${at}${field.name}`).slice(1, -1);
      if (node !== undefined && names.has(field.name) && this.#isWanted(node)) invalid(`two columns are named "${path}"`);
      names.add(field.name);
      const start = { ...total };
      if (node === undefined || !this.#isWanted(node)) {
        total.nodes += field.nodes;
        total.buffers += field.buffers;
        if (Number.isNaN(total.buffers)) invalid(`column "${path}" is ${field.arrowType}, which is not supported, not even to be passed over`);
        continue;
      }
      check(node, field, path);
      total.nodes++;
      total.buffers += node.kind === 'struct' ? 1 : node.kind === 'list' ? 2 : node.type.name === 'utf8' || node.type.name === 'binary' ? 3 : 2;
      const inner =
        node.kind === 'struct'
          ? this.#placesOf(node.members, field.children, total, `${path}.`)
          : node.kind === 'list'
            ? this.#placesOf([{ ...node.element, name: (field.children[0] as WireField).name }], field.children, total, `${path}.`)
            : [];
      found.push({ node, at: start.nodes, buffer: start.buffers, inner, path });
    }
    const missing = nodes.find((node) => this.#isWanted(node) && !names.has(node.name));
    if (missing !== undefined) {
      const there = fields.slice(0, 20).map(({ name }) => JSON.stringify(name));
      invalid(`there is no column ${JSON.stringify(`${at}${missing.name}`)}; there are ${there.join(', ') || 'none'}`);
    }
    return found;
  }

  #isWanted(node: Node): boolean {
    if (node.kind === 'struct') return node.members.some((member) => this.#isWanted(member));
    return node.kind === 'value' || node.column < 0 || this.#wanted.has(node.column);
  }

  #readBatch(plan: Plan): Batch {
    const frame = this.#frame;
    frame.enter(frame.header);
    const length = frame.field(0, 8);
    const rowCount = length === 0 ? 0 : frame.long(length);
    if (!(rowCount >= 0 && rowCount <= frame.bodyBytes * 8)) invalid(`${rowCount} rows in a body of ${frame.bodyBytes} bytes`);
    const nodes = frame.vector(1, 16);
    if (frame.length !== plan.nodes) invalid(`a record batch of ${frame.length} columns (nodes), where the schema has ${plan.nodes}`);
    const buffers = frame.vector(2, 16);
    if (frame.length !== plan.buffers) invalid(`a record batch of ${frame.length} buffers, where the schema has ${plan.buffers}`);
    if (frame.field(3, 4) !== 0) invalid('the body is compressed, which is not supported: write it without compression');
    const values = new Map<number, readonly unknown[]>();
    const take = (places: readonly Place[], count: number, isThere: readonly boolean[] | undefined): void => {
      for (const place of places) {
        const { node } = place;
        if (node.kind === 'struct') {
          const own = this.#validity(place, nodes, buffers, count, true);
          take(
            place.inner,
            count,
            own.map((is, row) => is && isThere?.[row] !== false),
          );
        } else if (node.kind !== 'value') {
          const all = this.#values(place, nodes, buffers, count);
          values.set(node.column, isThere === undefined ? all : all.map((value, row) => (isThere[row] === false ? null : value)));
        }
      }
    };
    take(plan.places, rowCount, undefined);
    const builder = new BatchBuilder(this.#slabs, this.#built, Math.max(rowCount, 8));
    this.#builders.push(builder);
    this.#columns.forEach((c, place) => {
      const field = this.schema.field(c);
      const all = values.get(c) as readonly unknown[];
      for (let row = 0; row < rowCount; row++) {
        if (all[row] === null && !field.type.nullable)
          invalid(`column ${JSON.stringify(field.name)} has nulls, but its type is ${kindText(field.type)}, not nullable(${kindText(field.type)})`);
        try {
          builder.setValue(place, row, all[row]);
        } catch (error) {
          invalid((error as Error).message);
        }
      }
    });
    const columns = this.schema.fields.map(({ type }): Column => ({ type, data: 0, offsets: 0, validity: 0 }));
    builder.finish(rowCount).columns.forEach((column, place) => {
      columns[this.#columns[place] as number] = column;
    });
    return new Batch(this.#slabs.memory, this.schema, rowCount, columns);
  }

  /** The values of a field: of a struct objects, of a list arrays. */
  #values(place: Place, nodes: number, buffers: number, count: number): unknown[] {
    const { node } = place;
    const isThere = this.#validity(place, nodes, buffers, count, node.kind === 'struct' || node.type.nullable);
    if (node.kind === 'struct') {
      const members = place.inner.map((inner) => [inner.node.name, this.#values(inner, nodes, buffers, count)] as const);
      return isThere.map((is, i) => Object.fromEntries(members.map(([name, all]) => [name, is ? all[i] : null])));
    }
    if (node.kind === 'list') {
      const offsets = this.#offsets(place, buffers, count, undefined);
      const inner = this.#values(place.inner[0] as Place, nodes, buffers, offsets[count] as number);
      return isThere.map((is, i) => (is ? inner.slice(offsets[i], offsets[i + 1]) : null));
    }
    return this.#plain(place, node.type, buffers, count, isThere);
  }

  #plain(place: Place, { name, width }: DataType, buffers: number, count: number, isThere: readonly boolean[]): unknown[] {
    const { u8 } = this.#slabs.memory;
    if (name === 'utf8' || name === 'binary') {
      const { at, bytes } = this.#buffer(place, buffers, 2, 0);
      const offsets = this.#offsets(place, buffers, count, bytes);
      return isThere.map((is, i) => {
        if (!is) return null;
        const slice = u8.slice(at + (offsets[i] as number), at + (offsets[i + 1] as number));
        return name === 'utf8' ? Buffer.from(slice).toString() : new Uint8Array(slice);
      });
    }
    const { at } = this.#buffer(place, buffers, 1, name === 'bool' ? Math.ceil(count / 8) : count * width);
    if (name === 'bool') return isThere.map((is, i) => (is ? (((u8[at + (i >>> 3)] as number) >>> (i & 7)) & 1) === 1 : null));
    const bytes = new Uint8Array(u8.slice(at, at + count * width)).buffer;
    const all = name === 'timestamp' ? Array.from(new BigInt64Array(bytes), Number) : Array.from(new VIEWS[name](bytes) as unknown as ArrayLike<unknown>);
    return isThere.map((is, i) => (is ? all[i] : null));
  }

  /** Checks the node, and tells which rows are there. */
  #validity(place: Place, nodes: number, buffers: number, count: number, mayBeNull: boolean): boolean[] {
    const frame = this.#frame;
    const at = nodes + place.at * 16;
    if (frame.long(at) !== count) invalid(`column "${place.path}" has ${frame.long(at)} rows where ${count} are expected`);
    const nullCount = frame.long(at + 8);
    if (!(nullCount >= 0 && nullCount <= count)) invalid(`column "${place.path}" has ${nullCount} nulls in ${count} rows`);
    if (nullCount === 0) return new Array<boolean>(count).fill(true);
    if (!mayBeNull) invalid(`column "${place.path}" has ${nullCount} nulls, but its type is not nullable`);
    const { u8 } = this.#slabs.memory;
    const bits = this.#buffer(place, buffers, 0, Math.ceil(count / 8)).at;
    return Array.from({ length: count }, (_, i) => (((u8[bits + (i >>> 3)] as number) >>> (i & 7)) & 1) === 1);
  }

  /** The `count + 1` offsets of a field. @param end that they must not pass; undefined: of a list, whose elements say so */
  #offsets(place: Place, buffers: number, count: number, end: number | undefined): Int32Array {
    if (count === 0) return new Int32Array(1);
    const { at } = this.#buffer(place, buffers, 1, (count + 1) * 4);
    const offsets = new Int32Array(new Uint8Array(this.#slabs.memory.u8.slice(at, at + (count + 1) * 4)).buffer);
    for (let i = 0; i <= count; i++) {
      const least = i === 0 ? 0 : (offsets[i - 1] as number);
      const value = offsets[i] as number;
      if (value < least || (end !== undefined && value > end))
        invalid(`offset ${i} of column "${place.path}" is ${value}, below the one before or outside its bytes`);
    }
    // A list's elements take a bit at least, or their list is of nothing.
    if (end === undefined && (offsets[count] as number) > this.#frame.bodyBytes * 8)
      invalid(`the lists of column "${place.path}" have ${offsets[count]} elements`);
    return offsets;
  }

  #buffer(place: Place, buffers: number, number: number, neededBytes: number): { readonly at: number; readonly bytes: number } {
    const frame = this.#frame;
    const struct = buffers + (place.buffer + number) * 16;
    const offset = frame.long(struct);
    const bytes = frame.long(struct + 8);
    if (!(offset >= 0 && bytes >= 0 && offset + bytes <= frame.bodyBytes))
      invalid(`a buffer of column "${place.path}" is ${bytes} bytes from ${offset} on in a body of ${frame.bodyBytes}`);
    if (bytes < neededBytes) invalid(`a buffer of column "${place.path}" is ${bytes} bytes, but its rows need ${neededBytes}`);
    return { at: frame.body + offset, bytes };
  }
}

const VIEWS = { i8: Int8Array, i16: Int16Array, i32: Int32Array, u32: Uint32Array, i64: BigInt64Array, f32: Float32Array, f64: Float64Array } as const;

function check(node: Node, field: WireField, path: string): void {
  const isList = field.arrowType === 'list' && field.children.length === 1;
  if (node.kind === 'struct' || node.kind === 'list') {
    const fits = node.kind === 'list' ? isList : field.arrowType === 'struct';
    if (!fits) invalid(`column "${path}" is ${field.arrowType}, but the schema wants a ${node.kind}`);
    return;
  }
  if (field.type === undefined) invalid(`column "${path}" is ${field.arrowType}, which is not supported: ${typeAdvice(field)}`);
  if (field.type?.name !== node.type.name) invalid(`column "${path}" is ${field.arrowType}, but the schema wants ${kindText(node.type)}`);
}

/** The fields of record batches without a schema. */
function wireTree(nodes: readonly Node[]): WireField[] {
  return nodes.map((node): WireField => {
    const children = node.kind === 'struct' ? wireTree(node.members) : node.kind === 'list' ? wireTree([node.element]) : [];
    const isBytes = node.kind !== 'struct' && node.kind !== 'list' && (node.type.name === 'utf8' || node.type.name === 'binary');
    const own = node.kind === 'struct' ? 1 : isBytes ? 3 : 2;
    return {
      name: node.name,
      type: node.kind === 'struct' || node.kind === 'list' ? undefined : node.type,
      arrowType: node.kind === 'struct' || node.kind === 'list' ? node.kind : node.type.name,
      nodes: children.reduce((sum, child) => sum + child.nodes, 1),
      buffers: children.reduce((sum, child) => sum + child.buffers, own),
      children,
    };
  });
}
