/**
 * Reads values that JSON gave, member by member, each with its type and range. Where one is not as it must
 * be, the error names it: `sources[0].positions[3].offset is -1`.
 */

import { shown } from '../../core/index.ts';

/** A member is not as it must be. */
export class MemberError extends Error {}

/** Reads one value, or throws a MemberError that begins with its path. */
export type MemberOf<T> = (path: string, value: unknown) => T;

/** Reads a member of an object by name. */
export type FieldReader = <T>(name: string, of: MemberOf<T>) => T;

/** Facts of an operator are a few levels deep. What reads them goes by recursion. */
const DEPTH_MAX = 64;

export function fields(path: string, value: unknown): FieldReader {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new MemberError(`${path === '' ? 'it' : path} is ${shown(value)}, and no object`);
  return (name, of) => of(path === '' ? name : `${path}.${name}`, Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined);
}

/** @param count how many there must be; undefined: any number */
export function list<T>(of: MemberOf<T>, count?: number): MemberOf<T[]> {
  return (path, value) => {
    if (!Array.isArray(value)) throw new MemberError(`${path} is ${shown(value)}, and no list`);
    if (count !== undefined && value.length !== count) throw new MemberError(`${path} has ${value.length} elements, and the plan has ${count}`);
    return value.map((one, i) => of(`${path}[${i}]`, one));
  };
}

export function text(path: string, value: unknown): string {
  if (typeof value !== 'string') throw new MemberError(`${path} is ${shown(value)}, and no text`);
  return value;
}

export function whole(min = 0, max = Number.MAX_SAFE_INTEGER): MemberOf<number> {
  return (path, value) => {
    if (!Number.isSafeInteger(value) || (value as number) < min || (value as number) > max) {
      throw new MemberError(`${path} is ${shown(value)}, and no whole number from ${min} to ${max}`);
    }
    // Not -0.
    return (value as number) + 0;
  };
}

/** Milliseconds. What JSON has no number for is a text. */
export function time(path: string, value: unknown): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  if (value === 'Infinity' || value === '-Infinity' || value === '-0') return Number(value);
  throw new MemberError(`${path} is ${shown(value)}, and no time`);
}

/** Any value, within a depth that recursion can follow. */
export function plainValue(path: string, value: unknown): unknown {
  if (value === undefined) throw new MemberError(`${path} is missing`);
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > DEPTH_MAX) throw new MemberError(`${path} is more than ${DEPTH_MAX} levels deep`);
    level = level.flatMap((one) => (typeof one === 'object' && one !== null ? Object.values(one) : []));
  }
  return value;
}

export function unique(path: string, values: readonly unknown[]): void {
  if (new Set(values).size !== values.length) throw new MemberError(`${path} has the same one twice`);
}
