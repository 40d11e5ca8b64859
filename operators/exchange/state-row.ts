/**
 * Rows of state: what an operator keeps, key by key, as values for people and their tools. Nothing is read
 * back from them.
 */

import { type AnyRow, type Batch, readValue } from '../../core/index.ts';

/** What is kept for one key, or for one key and window. Other members depend on the operator. */
export interface StateRow {
  /** The key columns by name; empty where there is no key. */
  readonly key: AnyRow;
  /** Bounds of the window or session, ms. */
  readonly windowStart?: number;
  readonly windowEnd?: number;
  /** Which stream of a join has the row. */
  readonly side?: 'left' | 'right';
  /** When it is dropped, ms; null: never. */
  readonly expires?: number | null;
  readonly [member: string]: unknown;
}

/** Values by name, as own members whatever the names are. */
export function named(names: readonly string[], values: readonly unknown[]): AnyRow {
  const object: Record<string, unknown> = {};
  names.forEach((name, i) => {
    Object.defineProperty(object, name, { value: values[i], enumerable: true, configurable: true, writable: true });
  });
  return object as AnyRow;
}

/** A row of a result, taken apart. */
export interface ResultParts {
  readonly keys: readonly unknown[];
  readonly key: AnyRow;
  readonly bounds: { readonly windowStart: number; readonly windowEnd: number } | undefined;
  readonly names: readonly string[];
  readonly values: readonly unknown[];
}

/**
 * A row of a result batch: key columns, then the bounds of a window where there is one, then aggregates.
 *
 * @param head number of columns in front of the aggregates
 */
export function resultParts(batch: Batch, row: number, keyCount: number, hasBounds: boolean, head = keyCount + (hasBounds ? 2 : 0)): ResultParts {
  const { schema, memory } = batch;
  const all = schema.fields.map((_, c) => readValue(memory, batch.column(c), row));
  const names = schema.fields.map(({ name }) => name);
  const keys = all.slice(0, keyCount);
  return {
    keys,
    key: named(names.slice(0, keyCount), keys),
    bounds: hasBounds ? { windowStart: all[keyCount] as number, windowEnd: all[keyCount + 1] as number } : undefined,
    names: names.slice(head),
    values: all.slice(head),
  };
}
