/**
 * Succession: what of a checkpoint goes on in a plan that has changed since. State belongs to an operator by
 * its kind, the hash of what the state depends on, and its format, at whatever number it is now. Positions
 * belong to a source by its name. Nothing is given to an operator that it may not be of: of equal operators
 * those with the same streams above and below are the same, and what cannot be told apart is refused.
 *
 * What would be lost is refused, too, unless it is allowed: state of operators that are gone or changed,
 * positions of sources that are gone, and operators that would see only some of the rows because they are new.
 */

import { shown } from '../../core/index.ts';
import type { StateFacts } from '../../operators/index.ts';
import { compareFacts, type OperatorIdentity, type PlanIdentity } from './identity.ts';
import { lineageOf, nameIn } from './lineage.ts';

/** By name of the operator, or all of them. */
export type AllowedNames = true | readonly string[];

/** What a start lets go of. */
export interface Allowed {
  /** State of operators, and positions of sources, that are no longer there. By their old names. */
  readonly dropped: AllowedNames;
  /** State of operators whose state would not be theirs any more. By their new names. */
  readonly changed: AllowedNames;
  /** Operators with state that begin empty, and so see only rows from now on. */
  readonly added: AllowedNames;
}

export const NOTHING_ALLOWED: Allowed = { dropped: [], changed: [], added: [] };

/** Whose state an exchange goes on with. */
export interface Predecessor {
  /** Its number then. */
  readonly exchange: number;
  /** What its state was; differs where it has to be migrated. */
  readonly format: number;
  readonly facts: unknown;
}

export interface Succession {
  /** By number now, the number then; undefined: it is new. */
  readonly sources: readonly (number | undefined)[];
  readonly watermarks: readonly (number | undefined)[];
  /** Undefined: it begins empty. */
  readonly exchanges: readonly (Predecessor | undefined)[];
  /** Sources have come, gone, or changed places. */
  readonly areSourcesMoved: boolean;
  /** Exchanges have come, gone, changed places, or are migrated: what the log says does not go by their numbers. */
  readonly areExchangesMoved: boolean;
  /** Why this is no start, as the end of a sentence, and what to do; undefined: it is one. */
  readonly refusal: string | undefined;
  /** What a person should know, though the job starts. */
  readonly notes: readonly string[];
}

export interface SuccessionOptions {
  readonly allowed: Allowed;
  /** By exchange of the plan as it is now. */
  readonly states: readonly StateFacts[];
  /** By exchange of the plan as it is now: its sources. */
  readonly sourcesOf: readonly (readonly number[])[];
  /** Rows had been read when the checkpoint was made. */
  readonly hasRead: boolean;
}

export function succession(then: PlanIdentity, now: PlanIdentity, options: SuccessionOptions): Succession {
  const { allowed, states, hasRead } = options;
  const [sourcesThen, sourcesNow] = [then, now].map(({ operators }) => operators.filter(({ kind }) => kind === 'source')) as Two;
  const [marksThen, marksNow] = [then, now].map(({ operators }) => operators.filter(({ kind }) => kind === 'watermark')) as Two;
  const [exchangesThen, exchangesNow] = [then, now].map(({ operators }) => operators.filter(hasState)) as Two;
  const lines = { before: lineageOf(then), now: lineageOf(now) };
  const sources = pairedByName(sourcesThen, sourcesNow);
  const watermarks = paired(marksThen, marksNow);
  const { pairs, unclear } = pairedExchanges(exchangesThen, exchangesNow, states, lines, allowed);

  const exchanges = exchangesNow.map((_, number): Predecessor | undefined => {
    const exchange = pairs.get(number);
    const of = exchange === undefined ? undefined : exchangesThen[exchange];
    return of === undefined ? undefined : { exchange: exchange as number, format: of.format, facts: of.facts };
  });
  const gone = exchangesThen.filter((_, number) => ![...pairs.values()].includes(number));
  const changed: Changed[] = [];
  const added: OperatorIdentity[] = [];
  exchangesNow.forEach((operator, number) => {
    if (pairs.has(number)) return;
    const at = gone.findIndex(({ kind, name }) => kind === operator.kind && !unclear.includes(name));
    if (at >= 0 && !unclear.includes(operator.name)) changed.push({ operator, was: gone.splice(at, 1)[0] as OperatorIdentity });
    else if (hasRead && (options.sourcesOf[number] as readonly number[]).some((source) => sources[source] !== undefined)) added.push(operator);
  });
  const dropped = [...sourcesThen.filter((_, number) => !sources.includes(number)), ...gone];
  const kept = exchangesNow.filter((_, number) => pairs.has(number));
  const found = { kept, changed, added, dropped, unclear };
  return {
    sources,
    watermarks,
    exchanges,
    areSourcesMoved: isMoved(sources, sourcesThen.length),
    areExchangesMoved:
      isMoved(
        exchanges.map((of) => of?.exchange),
        exchangesThen.length,
      ) ||
      exchanges.some((of, number) => of !== undefined && !isSame(exchangesThen[of.exchange] as OperatorIdentity, exchangesNow[number] as OperatorIdentity)),
    refusal: hasRead ? refusalOf(found, allowed) : undefined,
    notes: [
      ...notesOf(found, hasRead),
      ...sourcesNow.flatMap((operator, number) =>
        sources[number] === undefined && hasRead ? [`${operator.name} (${nameIn(operator)}) is new, and is read from where it starts by itself`] : [],
      ),
      ...marksNow.flatMap((operator, number) => watermarkNote(operator, marksThen[watermarks[number] ?? -1])),
      ...kept.flatMap((operator) => {
        const of = exchangesThen[pairs.get(exchangesNow.indexOf(operator)) as number] as OperatorIdentity;
        if (lines.before.above(of.name) === lines.now.above(operator.name)) return [];
        return [`${operator.name} keeps its state${named(of, operator)}, though its rows come another way now`];
      }),
    ],
  };
}

type Two = [OperatorIdentity[], OperatorIdentity[]];
interface Changed {
  readonly operator: OperatorIdentity;
  readonly was: OperatorIdentity;
}
interface Found {
  readonly kept: readonly OperatorIdentity[];
  readonly changed: readonly Changed[];
  readonly added: readonly OperatorIdentity[];
  readonly dropped: readonly OperatorIdentity[];
  /** Names of equal operators of which nobody knows which is which. */
  readonly unclear: readonly string[];
}

/** Exchanges, in the order of their numbers. */
/** Operators with state, in the order of the plan's exchanges. */
export function stateOperators({ operators }: PlanIdentity): readonly OperatorIdentity[] {
  return operators.filter(hasState);
}

function hasState({ kind, format }: OperatorIdentity): boolean {
  return format > 0 && kind !== 'watermark';
}

function isSame(a: OperatorIdentity, b: OperatorIdentity): boolean {
  return a.kind === b.kind && a.hash === b.hash && a.format === b.format;
}

function isMoved(numbers: readonly (number | undefined)[], countThen: number): boolean {
  return numbers.length !== countThen || numbers.some((then, now) => then !== now);
}

/** Sources of the same name are paired in order. */
function pairedByName(then: readonly OperatorIdentity[], now: readonly OperatorIdentity[]): (number | undefined)[] {
  const free = new Set(then.keys());
  return now.map((source) => {
    const number = [...free].find((at) => nameIn(then[at] as OperatorIdentity) === nameIn(source));
    if (number !== undefined) free.delete(number);
    return number;
  });
}

/** Watermarks: equal ones, then the others in order. */
function paired(then: readonly OperatorIdentity[], now: readonly OperatorIdentity[]): (number | undefined)[] {
  const free = new Set(then.keys());
  const found: (number | undefined)[] = now.map(() => undefined);
  for (const isFit of [isSame, () => true]) {
    now.forEach((mark, number) => {
      if (found[number] !== undefined) return;
      const at = [...free].find((one) => isFit(then[one] as OperatorIdentity, mark));
      if (at === undefined) return;
      found[number] = at;
      free.delete(at);
    });
  }
  return found;
}

type Lines = Readonly<Record<'before' | 'now', ReturnType<typeof lineageOf>>>;

function pairedExchanges(
  then: readonly OperatorIdentity[],
  now: readonly OperatorIdentity[],
  states: readonly StateFacts[],
  lines: Lines,
  allowed: Allowed,
): { readonly pairs: Map<number, number>; readonly unclear: string[] } {
  const pairs = new Map<number, number>();
  const unclear: string[] = [];
  const free = (): readonly [number[], number[]] => {
    const taken = new Set(pairs.values());
    return [[...then.keys()].filter((at) => !taken.has(at)), [...now.keys()].filter((at) => !pairs.has(at))];
  };
  const text = ({ kind, hash, format }: OperatorIdentity): string => `${kind} ${hash} ${format}`;
  /** Pairs those of one key, where there are as many on both sides. */
  const pair = (keyThen: (at: number) => string, keyNow: (at: number) => string, mayBe: (a: number[], b: number[]) => boolean): void => {
    const [before, after] = free();
    for (const key of new Set(before.map(keyThen))) {
      const a = before.filter((at) => keyThen(at) === key);
      const b = after.filter((at) => keyNow(at) === key);
      if (b.length === a.length && mayBe(a, b)) for (const [i, number] of b.entries()) pairs.set(number, a[i] as number);
    }
  };
  const by = (...of: readonly ('above' | 'below')[]): readonly [(at: number) => string, (at: number) => string] => {
    const key = (operator: OperatorIdentity, line: Lines['before']): string => [text(operator), ...of.map((side) => line[side](operator.name))].join(' ');
    return [(at) => key(then[at] as OperatorIdentity, lines.before), (at) => key(now[at] as OperatorIdentity, lines.now)];
  };
  pair(...by('above', 'below'), () => true);
  pair(...by('above'), () => true);
  pair(...by('below'), () => true);
  // Nothing tells several apart whose streams are others on both sides.
  pair(...by(), (a) => a.length === 1);
  const [before, after] = free();
  const [keyThen, keyNow] = by();
  for (const key of new Set(before.map(keyThen))) {
    const without = (names: AllowedNames, { name }: OperatorIdentity): boolean => names !== true && names.includes(name);
    const all = [before.filter((at) => keyThen(at) === key), after.filter((at) => keyNow(at) === key)] as const;
    if (all[1].length === 0) continue;
    const a = all[0].filter((at) => !without(allowed.dropped, then[at] as OperatorIdentity));
    const b = all[1].filter((at) => !without(allowed.added, now[at] as OperatorIdentity));
    if (a.length === b.length && (a.length !== all[0].length || b.length !== all[1].length || a.length === 1)) {
      for (const [i, number] of b.entries()) pairs.set(number, a[i] as number);
    } else unclear.push(...a.map((at) => (then[at] as OperatorIdentity).name), ...b.map((at) => (now[at] as OperatorIdentity).name));
  }
  migrated(then, now, states, lines, free, pairs);
  return { pairs, unclear };
}

/** Pairs operators that can read what another version of them has left. */
function migrated(
  then: readonly OperatorIdentity[],
  now: readonly OperatorIdentity[],
  states: readonly StateFacts[],
  lines: Lines,
  free: () => readonly [number[], number[]],
  pairs: Map<number, number>,
): void {
  const canRead = (number: number, at: number): boolean =>
    (then[at] as OperatorIdentity).kind === (now[number] as OperatorIdentity).kind && states[number]?.migration?.(then[at] as OperatorIdentity) !== undefined;
  const isAlike = (number: number, at: number): boolean =>
    (['above', 'below'] as const).some(
      (side) => lines.before[side]((then[at] as OperatorIdentity).name) === lines.now[side]((now[number] as OperatorIdentity).name),
    );
  for (const isFit of [isAlike, () => true]) {
    for (const number of free()[1]) {
      const found = free()[0].filter((at) => canRead(number, at) && isFit(number, at));
      const rivals = free()[1].filter((other) => found.some((at) => canRead(other, at) && isFit(other, at)));
      if (found.length === 1 && rivals.length === 1) pairs.set(number, found[0] as number);
    }
  }
}

function isAllowed(names: AllowedNames, operator: OperatorIdentity): boolean {
  return names === true || names.includes(operator.name) || (operator.kind === 'source' && names.includes(nameIn(operator)));
}

function refusalOf({ kept, changed, added, dropped, unclear }: Found, allowed: Allowed): string | undefined {
  const lost = {
    changed: changed.filter(({ operator }) => !isAllowed(allowed.changed, operator)),
    dropped: dropped.filter((operator) => !isAllowed(allowed.dropped, operator) && !unclear.includes(operator.name)),
    new: added.filter((operator) => !isAllowed(allowed.added, operator) && !unclear.includes(operator.name)),
  };
  const names = {
    dropped: lost.dropped.map(({ name }) => name),
    changed: lost.changed.map(({ operator }) => operator.name),
    new: lost.new.map(({ name }) => name),
  };
  const ways = Object.entries(names).filter(([, of]) => of.length > 0);
  if (ways.length === 0 && unclear.length === 0) return undefined;
  const difference = [
    ...lost.changed.map(({ operator, was }) => `changed: ${operator.name} (${compareFacts(was, operator)})`),
    ...(lost.dropped.length === 0 ? [] : [`dropped: ${lost.dropped.map(withName).join(', ')}`]),
    ...(lost.new.length === 0 ? [] : [`new, would see only rows from now on: ${names.new.join(', ')}`]),
    ...(unclear.length === 0 ? [] : [`cannot be told apart: ${unclear.join(', ')}`]),
    ...(kept.length === 0 ? [] : [`kept: ${kept.map(({ name }) => name).join(', ')}`]),
  ].join('; ');
  const listed = (of: readonly string[]): string => `[${of.map((name) => `'${name}'`).join(', ')}]`;
  const option = `checkpoint: { dir, allow: { ${ways.map(([what, of]) => `${what}: ${listed(of)}`).join(', ')} } }`;
  const flags = ways.flatMap(([what, of]) => of.map((name) => `--allow ${JSON.stringify(`${what}=${name}`)}`)).join(' ');
  const version = lost.changed.some(({ operator }) => operator.kind === 'process')
    ? ' For state of process() that can be converted, give it version and migrate.'
    : '';
  return [
    `was written before the pipeline was changed, and not all of its state can go on: ${difference}.`,
    ...(unclear.length === 0
      ? []
      : ["Operators that cannot be told apart: say which are gone (allow: { dropped: ['aggregate 1'] }) or new (allow: { new: ['aggregate 2'] })."]),
    ...(ways.length === 0 ? [] : [`To let that state go, give ${option}, or ${flags}.${version}`]),
    'Or undo the change; or delete the folder to begin with empty state',
  ].join(' ');
}

/** What was allowed. */
function notesOf({ changed, added, dropped }: Found, hasRead: boolean): string[] {
  if (!hasRead) return [];
  return [
    ...changed.map(({ operator, was }) => `${operator.name} begins empty: it has changed (${compareFacts(was, operator)})`),
    ...added.map(({ name }) => `${name} is new: it begins empty, and sees only rows from now on`),
    ...dropped.map((operator) => `${withName(operator)} is gone, and with it its ${operator.kind === 'source' ? 'positions' : 'state'}`),
  ];
}

function watermarkNote(now: OperatorIdentity, then: OperatorIdentity | undefined): string[] {
  if (then === undefined) return [];
  return then.hash === now.hash ? [] : [`${now.name} has changed (${compareFacts(then, now)}): it goes on from the time that it had reached`];
}

function withName(operator: OperatorIdentity): string {
  return operator.kind === 'source' ? `${operator.name} (${shown(nameIn(operator))})` : operator.name;
}

function named(then: OperatorIdentity, now: OperatorIdentity): string {
  return then.name === now.name ? '' : ` (it was ${then.name})`;
}
