/**
 * The identity of a plan, as data: its operators by name, with a hash of what each one's state depends on and
 * the version of the state's format, and who feeds whom. Workers compare it with the coordinator's, to be
 * sure that they run the same plan. A snapshot carries it, so that only the same plan resumes from it. What
 * functions do, and how they are run, is no part of it: two plans that differ in the body of a function are
 * the same plan.
 *
 * Names are a kind and a number, in the order of the plan: `source 1`, `filter 2`, `aggregate 1`. So an added
 * operator renumbers those of its kind behind it, and operators are compared by what they are, not by their
 * numbers.
 */

import { createHash } from 'node:crypto';
import type { FlowPlan, Plan } from './plan.ts';

export interface OperatorIdentity {
  readonly name: string;
  /** Without the number. */
  readonly kind: string;
  /** Of kind and facts. */
  readonly hash: string;
  /** Version of the format of its state; 0: it has none. */
  readonly format: number;
  /** What its state depends on, as values that JSON can hold. Messages describe differences by these. */
  readonly facts: unknown;
}

/** Structured clone and v8.serialize can copy it. */
export interface PlanIdentity {
  readonly pipeline: string;
  readonly operators: readonly OperatorIdentity[];
  /** Who feeds whom: `source 1 -> filter 1`. */
  readonly wires: readonly string[];
  /** Names of views, and the operators that they show. */
  readonly views: readonly string[];
}

export function identityOf(plan: Plan): PlanIdentity {
  const operators: OperatorIdentity[] = [];
  const wires: string[] = [];
  const counts = new Map<string, number>();
  const add = (kind: string, format: number, of: unknown): string => {
    const number = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, number);
    const text = canonical(of);
    const hash = createHash('sha256').update(`${kind}\n${text}`).digest('hex').slice(0, 16);
    const name = `${kind} ${number}`;
    operators.push({ name, kind, hash, format, facts: JSON.parse(text) });
    return name;
  };
  const sources = plan.sources.map(({ source }) => add('source', 0, { name: source.name, schema: String(source.schema) }));
  const watermarks = plan.watermarks.map(({ strategy: { column, delayMs, idleMs, maxSkewMs, isProcessingTime, policy } }) =>
    add('watermark', 1, { column, delayMs, idleMs, maxSkewMs, isProcessingTime, policy }),
  );
  const exchanges = plan.exchanges.map(({ operator }) => add(operator.name, operator.state.format, operator.state.facts));
  const sinks = plan.sinks.map(({ sink, schema }) => add('sink', 0, { name: sink.name, schema: String(schema) }));

  const walk = (from: string, flow: FlowPlan): void => {
    let at = from;
    const to = (name: string): void => {
      wires.push(`${at} -> ${name}`);
    };
    const names = flow.rows.notes.map(({ kind, reads }) => {
      const name = add(kind, 0, { reads });
      to(name);
      at = name;
      return name;
    });
    if (flow.watermark !== undefined) {
      to(watermarks[flow.watermark] as string);
      at = watermarks[flow.watermark] as string;
    }
    for (const { exchange, input } of flow.exchanges) to(`${exchanges[exchange]}, input ${input}`);
    for (const sink of flow.sinks) to(sinks[sink] as string);
    for (const next of flow.next) walk(at, next);
    if (flow.lookup !== undefined) {
      const name = add('enrich', 0, { adds: String(flow.lookup.operation.schema) });
      to(name);
      walk(name, flow.lookup.flow);
      for (const errors of flow.lookup.errors) walk(`errors of ${name}`, errors);
    }
    for (const { covers, flow: errors } of flow.errors) walk(`errors of ${names.filter((_, i) => covers[i]).join(' and ')}`, errors);
  };
  plan.sources.forEach(({ flow, rejects }, index) => {
    walk(sources[index] as string, flow);
    for (const rejected of rejects) walk(`what ${sources[index]} cannot decode`, rejected);
  });
  plan.exchanges.forEach(({ flow, late, errors }, index) => {
    walk(exchanges[index] as string, flow);
    late.forEach((rows, input) => {
      if (rows !== undefined) walk(`late rows of ${exchanges[index]}, input ${input}`, rows);
    });
    for (const failed of errors) walk(`errors of ${exchanges[index]}`, failed);
  });
  return { pipeline: plan.name, operators, wires, views: plan.views.map(({ name, exchange }) => `${name} of ${exchanges[exchange]}`) };
}

/** What became of the operators of one plan in another. */
export interface PlanDifference {
  /** By their new names. */
  readonly kept: readonly string[];
  readonly changed: readonly { readonly name: string; readonly how: string }[];
  readonly added: readonly string[];
  /** By their old names. */
  readonly dropped: readonly string[];
}

/**
 * Compares operators. Those that are the same in the same order are kept. Of the others, those of one kind
 * count as changed, in order.
 */
export function compareOperators(then: PlanIdentity, now: PlanIdentity): PlanDifference {
  const pairs = commonRun(then.operators, now.operators);
  const kept = new Set(pairs.map(([, b]) => b));
  const keptThen = new Set(pairs.map(([a]) => a));
  const gone = then.operators.filter((operator) => !keptThen.has(operator));
  const changed: { name: string; how: string }[] = [];
  const added: string[] = [];
  for (const operator of now.operators) {
    if (kept.has(operator)) continue;
    const at = gone.findIndex(({ kind }) => kind === operator.kind);
    if (at < 0) added.push(operator.name);
    else changed.push({ name: operator.name, how: compareFacts(gone.splice(at, 1)[0] as OperatorIdentity, operator) });
  }
  return { kept: now.operators.filter((operator) => kept.has(operator)).map(({ name }) => name), changed, added, dropped: gone.map(({ name }) => name) };
}

/** How two identities differ, as part of a sentence; undefined: they do not. */
export function identityDifference(then: PlanIdentity, now: PlanIdentity): string | undefined {
  if (then.pipeline !== now.pipeline) return `the pipeline was ${JSON.stringify(then.pipeline)} and is ${JSON.stringify(now.pipeline)}`;
  const { kept, changed, added, dropped } = compareOperators(then, now);
  if (changed.length + added.length + dropped.length > 0) {
    return [
      ...changed.map(({ name, how }) => `${name} changed (${how})`),
      ...(added.length === 0 ? [] : [`new: ${added.join(', ')}`]),
      ...(dropped.length === 0 ? [] : [`dropped: ${dropped.join(', ')}`]),
      ...(kept.length === 0 ? [] : [`kept: ${kept.join(', ')}`]),
    ].join('; ');
  }
  return listsDiffer('connected', then.wires, now.wires) ?? listsDiffer('viewed', then.views, now.views);
}

function listsDiffer(how: string, then: readonly string[], now: readonly string[]): string | undefined {
  if (then.join('\n') === now.join('\n')) return undefined;
  const before = then.filter((one) => !now.includes(one));
  const after = now.filter((one) => !then.includes(one));
  return `the same operators are ${how} otherwise: it had ${before.join('; ') || 'nothing more'}, and has ${after.join('; ') || 'nothing more'}`;
}

/** The longest run of operators, not necessarily neighbours, that both lists have in this order. */
function commonRun(then: readonly OperatorIdentity[], now: readonly OperatorIdentity[]): (readonly [OperatorIdentity, OperatorIdentity])[] {
  const isSame = (a: OperatorIdentity, b: OperatorIdentity): boolean => a.hash === b.hash && a.kind === b.kind && a.format === b.format;
  const width = now.length + 1;
  const lengths = new Uint32Array((then.length + 1) * width);
  for (let i = then.length - 1; i >= 0; i--) {
    for (let j = now.length - 1; j >= 0; j--) {
      lengths[i * width + j] = isSame(then[i] as OperatorIdentity, now[j] as OperatorIdentity)
        ? (lengths[(i + 1) * width + j + 1] as number) + 1
        : Math.max(lengths[(i + 1) * width + j] as number, lengths[i * width + j + 1] as number);
    }
  }
  const pairs: (readonly [OperatorIdentity, OperatorIdentity])[] = [];
  for (let i = 0, j = 0; i < then.length && j < now.length; ) {
    const [a, b] = [then[i] as OperatorIdentity, now[j] as OperatorIdentity];
    if (isSame(a, b)) {
      pairs.push([a, b]);
      i++;
      j++;
    } else if ((lengths[(i + 1) * width + j] as number) >= (lengths[i * width + j + 1] as number)) i++;
    else j++;
  }
  return pairs;
}

const FACTS_SHOWN_MAX = 3;

/** How an operator differs from what it was, as part of a sentence. */
export function compareFacts(then: OperatorIdentity, now: OperatorIdentity): string {
  if (then.hash === now.hash && then.format === now.format) return 'it has moved';
  const found: string[] = [];
  const walk = (path: string, a: unknown, b: unknown): void => {
    if (canonical(a) === canonical(b)) return;
    if (isObject(a) && isObject(b))
      for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) walk(path === '' ? key : `${path}.${key}`, a[key], b[key]);
    else found.push(`${path} was ${canonical(a)}, is ${canonical(b)}`);
  };
  if (then.format !== now.format) found.push(`the format of its state was ${then.format}, is ${now.format}`);
  walk('', then.facts, now.facts);
  const more = found.length - FACTS_SHOWN_MAX;
  return `${found.slice(0, FACTS_SHOWN_MAX).join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

/** JSON with the members of objects in a fixed order. */
function canonical(value: unknown): string {
  return (
    JSON.stringify(value, (_, of: unknown) =>
      isObject(of) && !Array.isArray(of) ? Object.fromEntries(Object.entries(of).sort(([a], [b]) => (a < b ? -1 : 1))) : of,
    ) ?? 'nothing'
  );
}
