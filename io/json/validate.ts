/**
 * The decoder of `json(schema)` for a schema of the user's own library: each record is parsed, validated, and what comes
 * out goes into the columns. This makes objects of every record: it is for what has to be validated, not for speed.
 */

import { type AnyRow, type Batch, BatchBuilder, type ColumnSpace, MillraceError, memberOf, type Schema } from '../../core/index.ts';
import type { RecordDecoder, RecordIndex } from '../codec.ts';
import { rejectRecord } from '../rejection.ts';
import type { DecoderContext } from '../source.ts';
import type { StandardSchema } from '../standard-schema.ts';
import { utf8Fault } from '../utf8.ts';

const ISSUES_MAX = 3;

export class ValidatedDecoder implements RecordDecoder {
  readonly #context: DecoderContext;
  readonly #validator: StandardSchema;
  readonly #builder: BatchBuilder;
  readonly #recordOf: Int32Array;
  #records: RecordIndex | undefined;
  #next = 0;

  constructor(context: DecoderContext, schema: Schema, validator: StandardSchema) {
    this.#context = context;
    this.#validator = validator;
    this.#builder = new BatchBuilder(context.slabs, schema, context.batchRows);
    this.#recordOf = new Int32Array(this.#builder.capacity);
  }

  open(records: RecordIndex): void {
    this.#records = records;
    this.#next = 0;
  }

  next(): Batch | undefined {
    const records = this.#records;
    if (!records) return undefined;
    const builder = this.#builder;
    builder.reset();
    for (; builder.rowCount < this.#context.batchRows && this.#next < records.count; this.#next++) {
      const record = this.#next;
      const fault = this.#read(records, record);
      if (fault === undefined) this.#recordOf[builder.rowCount - 1] = record;
      else rejectRecord(this.#context, records, record, 'json', fault);
    }
    return builder.rowCount === 0 ? undefined : builder.finish();
  }

  recordOf(row: number): number {
    return this.#recordOf[row] as number;
  }

  /** Appends a record as a row, or says why not. */
  #read(records: RecordIndex, record: number): string | undefined {
    const { u8, u32, i32 } = this.#context.memory;
    const from = u32[(records.values >>> 2) + record] as number;
    const length = i32[(records.valueLengths >>> 2) + record] as number;
    if (length < 0) return 'it has no value (a tombstone)';
    const bad = utf8Fault(u8, from, from + length);
    if (bad !== from + length) return `expected well-formed UTF-8 at byte ${bad - from}`;
    let value: unknown;
    try {
      value = JSON.parse(Buffer.from(u8.slice(from, from + length)).toString());
    } catch (error) {
      return `it is no JSON: ${(error as Error).message}`;
    }
    return this.#validated(value);
  }

  #validated(value: unknown): string | undefined {
    const { vendor, validate } = this.#validator['~standard'];
    let result: ReturnType<typeof validate>;
    try {
      result = validate(value);
    } catch (error) {
      return `the schema of ${vendor} failed: ${(error as Error).message}`;
    }
    if (result instanceof Promise) {
      result.catch(() => {});
      throw new MillraceError(
        'ERR_MILLRACE_PIPELINE',
        `json(): the schema of ${vendor} validates asynchronously, and a codec does not wait. Look things up with enrich().`,
      );
    }
    if (result.issues !== undefined) {
      const shownIssues = result.issues.slice(0, ISSUES_MAX).map(({ message, path = [] }) => {
        const at = path.map((part) => String(typeof part === 'object' ? part.key : part)).join('.');
        return at === '' ? message : `${at}: ${message}`;
      });
      const more = result.issues.length - shownIssues.length;
      return `${shownIssues.join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
    }
    const row = result.value;
    if (typeof row !== 'object' || row === null) return `the schema of ${vendor} gives ${typeof row}, and it has to be an object`;
    try {
      this.#append(row);
      return undefined;
    } catch (error) {
      if (error instanceof MillraceError && error.code === 'ERR_MILLRACE_SCHEMA') return error.message;
      throw error;
    }
  }

  /** What has no column of its own is text: of what is JSON, the column gets the text. */
  #append(value: object): void {
    const builder = this.#builder;
    const row = builder.rowCount;
    const lengths = builder.columns.map(({ byteLength }) => byteLength);
    try {
      for (let c = 0; c < builder.columns.length; c++) {
        const column = builder.columns[c] as ColumnSpace;
        const member = memberOf(value, column);
        builder.setValue(
          c,
          row,
          column.type.json && member !== undefined && !(member === null && column.type.nullable) ? JSON.stringify(member) : asColumn(column, member),
        );
      }
    } catch (error) {
      builder.columns.forEach((column, c) => (column.byteLength = lengths[c] as number));
      throw error;
    }
    builder.rowCount++;
  }
}

/** Lists whose elements are JSON text have the texts of these. */
function asColumn({ type }: ColumnSpace, value: unknown): unknown {
  return type.element === undefined || !Array.isArray(value) ? value : value.map((item) => asElement(type.element, item));
}

function asElement(element: unknown, value: unknown): unknown {
  const of = element as { readonly name?: unknown; readonly json?: true; readonly nullable?: boolean; readonly element?: unknown };
  if (typeof of.name === 'string') {
    if (of.json) return value === null && of.nullable === true ? null : JSON.stringify(value);
    return of.element !== undefined && Array.isArray(value) ? value.map((item) => asElement(of.element, item)) : value;
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(element as object).map(([name, member]) => [name, Object.hasOwn(value, name) ? asElement(member, (value as AnyRow)[name]) : null]),
  );
}
