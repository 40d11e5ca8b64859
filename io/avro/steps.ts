/**
 * The program of a decoder: steps that read what a writer's schema says, into what the reader's schema has. They are
 * made once for each pair of schemas (resolution.ts) and run for each record (row.ts).
 *
 * A step with a `column` writes there. One without writes JSON, as a part of a text.
 */

export const OP = {
  /** Moves over values of a fixed size, of a varint, of a length and bytes. */
  skipFixed: 0,
  skipVarint: 1,
  skipBytes: 2,
  /** Arrays (`steps[0]`) and maps (a key, then `steps[0]`): blocks are skipped by their size where they tell it. */
  skipBlocks: 3,
  /** Nothing on the wire. */
  nothing: 4,
  /** All `steps` in turn: a record. */
  record: 5,
  /** The step of the branch that the wire names: a union. */
  union: 6,
  /** Columns that are null. */
  nulls: 7,
  /** `steps[0]` over the bytes of a default. */
  default: 8,
  fault: 9,
  bool: 10,
  i32: 11,
  i64: 12,
  f32: 13,
  f64: 14,
  timestamp: 15,
  date: 16,
  utf8: 17,
  binary: 18,
  fixed: 19,
  enum: 20,
  decimal: 21,
  uuid: 22,
  /** A column's text: JSON that `steps[0]` writes. */
  text: 23,
  /** JSON: null; an array; an object by keys of the wire; members of `steps`; a value with its type around it. */
  jsonNull: 24,
  jsonArray: 25,
  jsonMap: 26,
  jsonRecord: 27,
  jsonTagged: 28,
  /** `steps[0]`. */
  pass: 29,
} as const;

/** How a number is on the wire. */
export const WIRE = { int: 0, long: 1, float: 2, double: 3 } as const;

export class Step {
  op: number;
  /** Position among the columns of the writer (ColumnWriter); -1: JSON. */
  column: number;
  /** Of numbers: WIRE. Of binary, utf8, decimal and fixed: 0 where a length precedes the bytes, else -1. */
  wire = 0;
  /** Bytes of a fixed value; units a millisecond; decimals; least bytes of an item. */
  size = 0;
  /** Of a decimal: most bytes that its digits take. */
  most = 0;
  isMap = false;
  steps: Step[] = [];
  columns: readonly number[] = [];
  /** Of an enum: by the writer's index, the text of the reader's symbol, as JSON where there is no column. */
  symbols: readonly (Uint8Array | undefined)[] = [];
  /** Of members of a JSON object: the member's name and a colon. Of a tagged value: a brace before. */
  key: Uint8Array | undefined;
  /** Of a JSON record whose members the writer has in another order: by member, the writer's field. Undefined: in one order. */
  order: readonly number[] | undefined;
  /** Of such: steps that skip the writer's fields. */
  skips: readonly Step[] = [];
  /** Address and length of a default's bytes. */
  from = 0;
  bytes = 0;
  /** What messages name: a field, or what is wrong. */
  name = '';

  constructor(op: number, column = -1) {
    this.op = op;
    this.column = column;
  }
}
