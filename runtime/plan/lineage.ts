/**
 * Where the rows of an operator come from, and where its results go, as digests over the identity of a plan.
 * Two operators with the same facts are told apart by them. What a watermark is set to, and the schema of a
 * source, do not count.
 */

import { createHash } from 'node:crypto';
import type { OperatorIdentity, PlanIdentity } from './identity.ts';

export interface Lineage {
  /** Of everything that feeds an operator. */
  above(name: string): string;
  /** Of everything that it feeds. */
  below(name: string): string;
}

interface Edge {
  readonly other: string;
  readonly how: string;
}

export function lineageOf({ operators, wires }: PlanIdentity): Lineage {
  const byName = new Map(operators.map((operator) => [operator.name, operator]));
  const above = new Map<string, Edge[]>();
  const below = new Map<string, Edge[]>();
  for (const wire of wires) {
    const [from, to] = wire.split(' -> ');
    if (from === undefined || to === undefined) continue;
    const [target, input = ''] = to.split(', ');
    const { names, how } = originOf(from);
    for (const name of names) {
      add(above, target as string, { other: name, how: `${how} ${input}` });
      add(below, name, { other: target as string, how: `${how} ${input}` });
    }
  }
  const walker = (edges: ReadonlyMap<string, readonly Edge[]>): ((name: string) => string) => {
    const known = new Map<string, string>();
    return function digest(name: string): string {
      const found = known.get(name);
      if (found !== undefined) return found;
      // What is no plan may go in circles.
      known.set(name, '');
      const parts = (edges.get(name) ?? []).map(({ other, how }) => `${how} ${textOf(byName.get(other))} ${digest(other)}`).sort();
      const text = createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 16);
      known.set(name, text);
      return text;
    };
  };
  return { above: walker(above), below: walker(below) };
}

/** A wire begins at an operator, or at rows that it or others leave aside (identity.ts). */
function originOf(from: string): { readonly names: readonly string[]; readonly how: string } {
  const errors = /^errors of (.+)$/.exec(from)?.[1];
  if (errors !== undefined) return { names: errors.split(' and '), how: 'errors' };
  const source = /^what (.+) cannot decode$/.exec(from)?.[1];
  if (source !== undefined) return { names: [source], how: 'rejects' };
  const [, late, input] = /^late rows of (.+), input (\d+)$/.exec(from) ?? [];
  return late === undefined ? { names: [from], how: 'rows' } : { names: [late], how: `late ${input}` };
}

function textOf(operator: OperatorIdentity | undefined): string {
  if (operator === undefined) return '?';
  const { kind, hash } = operator;
  if (kind === 'watermark') return kind;
  return kind === 'source' || kind === 'sink' ? `${kind} ${nameIn(operator)}` : `${kind} ${hash}`;
}

/** The name of a source or sink. */
export function nameIn({ facts, name }: OperatorIdentity): string {
  const of = (facts as { readonly name?: unknown } | null)?.name;
  return typeof of === 'string' ? of : name;
}

function add(edges: Map<string, Edge[]>, name: string, edge: Edge): void {
  edges.set(name, [...(edges.get(name) ?? []), edge]);
}
