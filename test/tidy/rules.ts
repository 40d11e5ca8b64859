/** The rules of the house, as functions from a path and a source to objections. DESIGN: ARCHITECTURE.md, CONTRIBUTING.md. */

import { posix } from 'node:path';
import { arrowObjections } from './arrows.ts';
import { codeOf, importsOf, lineOf } from './source-text.ts';

export interface RoomRule {
  /** Other rooms, by the one file that may be imported from them, or `*`. */
  readonly rooms: ReadonlyMap<string, 'door' | '*'>;
  /** May this package (or node: module) be imported by this file? */
  readonly packages: (name: string, path: string) => boolean;
  readonly mayWait: boolean;
}

const isNode = (name: string): boolean => name.startsWith('node:');
const isThreads = (name: string): boolean => name === 'node:worker_threads' || name === 'worker_threads' || name === 'piscina';

type Reach = RoomRule['rooms'];
const reach = (...rooms: (readonly [string, 'door' | '*'])[]): Reach => new Map(rooms);

export const ROOMS: ReadonlyMap<string, RoomRule> = new Map<string, RoomRule>([
  [
    'core',
    {
      rooms: reach(),
      packages: (name, path) => name === 'flatbuffers' || (path === 'core/memory/kernel-module.ts' && (name === 'node:fs' || name === 'node:url')),
      mayWait: false,
    },
  ],
  ['operators', { rooms: reach(['core', 'door']), packages: (name, path) => name === 'acorn' && /^operators\/rows(\/|\.ts$|-)/.test(path), mayWait: false }],
  [
    'io',
    {
      rooms: reach(['core', 'door']),
      packages: (name, path) =>
        !isThreads(name) && name !== 'acorn' && name !== 'tsx' && ((name !== 'kafkajs' && !name.startsWith('kafkajs/')) || path.startsWith('io/kafka/')),
      mayWait: false,
    },
  ],
  [
    'runtime',
    {
      rooms: reach(['core', 'door'], ['operators', 'door'], ['io', 'door']),
      packages: () => true,
      mayWait: true,
    },
  ],
  [
    'examples',
    { rooms: reach(), packages: (name) => name === 'millrace' || name.startsWith('millrace/') || (isNode(name) && !isThreads(name)), mayWait: false },
  ],
]);

/** All objections to one file of the repo. `path` is relative to its root, with slashes. */
export function objectionsTo(path: string, source: string): string[] {
  const found = [...nameObjections(path), ...textObjections(path, source)];
  if (!/\.(ts|js)$/.test(path) || path.includes('/generated/')) return found;
  const code = codeOf(source);
  found.push(
    ...importObjections(path, source),
    ...arrowObjections(path, source),
    ...roomObjections(path, code),
    ...markObjections(path, source, code),
    ...strippingObjections(path, code),
    ...testObjections(path, source, code),
  );
  return found;
}

/** What Node's own type stripping takes wrongly. */
function strippingObjections(path: string, code: string): string[] {
  const of = /\bfor (?:await )?\((?:const|let) of of\b/.exec(code);
  return of === null ? [] : [`${path}:${lineOf(code, of.index)}: Node cannot strip the types of a loop whose variable is called of`];
}

/** Tests: cases and seeds from one place, one word for a test, no wait that hopes. */
function testObjections(path: string, source: string, code: string): string[] {
  if (!path.startsWith('test/') || !path.endsWith('.ts')) return [];
  const found: string[] = [];
  for (const { from, line } of importsOf(source)) {
    if (from === 'fast-check' && path !== 'test/seed.ts')
      found.push(`${path}:${line}: fast-check comes from test/seed.ts, which decides seeds and how many cases`);
  }
  const it = /(?<![\w.$])it\(/.exec(code);
  if (it !== null) found.push(`${path}:${lineOf(code, it.index)}: tests are called test`);
  return found;
}

function nameObjections(path: string): string[] {
  const found: string[] = [];
  const base = posix.basename(path).replace(/(\.test|\.d)?\.[a-z]+$/, '');
  if (/(^|[-.])(utils?|commons?|helpers?|managers?|misc)($|[-.])/.test(base)) found.push(`${path}: a name that says nothing; name the thing that is in it`);
  if (/\.ts$/.test(path) && !path.includes('/generated/') && !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(base)) found.push(`${path}: files are named in kebab-case`);
  if (/\.(wasm|tgz|node|jar|cpuprofile)$/.test(path)) found.push(`${path}: nothing that is built is committed`);
  return found;
}

/** A path of someone's machine, or the address of a package registry. Taken apart here, so that this file passes. */
const MACHINE_PATHS = new RegExp(['(?<![\\w.])/(?:ho', 'me|Us', 'ers)/[a-z][\\w-]*/|/ro', 'ot/\\.'].join(''));
const REGISTRY_HOSTS = new RegExp(['https?://(?:regi', 'stry\\.npm|regi', 'stry\\.|repo\\d*\\.mav|repo\\.|deb\\.deb|files\\.pyth|pypi\\.o)'].join(''));

function textObjections(path: string, source: string): string[] {
  const found: string[] = [];
  source.split('\n').forEach((line, i) => {
    if (MACHINE_PATHS.test(line)) found.push(`${path}:${i + 1}: a path of one machine`);
    if (REGISTRY_HOSTS.test(line)) found.push(`${path}:${i + 1}: the address of a registry`);
  });
  if (posix.basename(path) === 'package-lock.json' && /"resolved": *"https?:/.test(source)) found.push(`${path}: records download addresses; see .npmrc`);
  return found;
}

/** Doors of their own, which packages load by a sub-path. */
const SUB_PATHS = new Set([
  'io/cassandra/index.ts',
  'io/clickhouse/index.ts',
  'io/elasticsearch/index.ts',
  'io/hbase/index.ts',
  'io/hdfs/index.ts',
  'io/kafka/index.ts',
  'io/postgres/index.ts',
  'io/redis/index.ts',
  'io/registry/index.ts',
  'io/s3/index.ts',
]);

function importObjections(path: string, source: string): string[] {
  const room = path.split('/')[0] as string;
  const rule = ROOMS.get(room);
  if (rule === undefined) return [];
  const found: string[] = [];
  for (const { from, line } of importsOf(source)) {
    const where = `${path}:${line}: imports ${from}`;
    if (!from.startsWith('.')) {
      if (!rule.packages(from, path)) found.push(`${where}, which is not for ${room}`);
      continue;
    }
    const target = posix.join(posix.dirname(path), from);
    const targetRoom = target.split('/')[0] as string;
    if (targetRoom === room) continue;
    const how = rule.rooms.get(targetRoom);
    if (how === undefined) found.push(`${where}: ${room} must not know ${targetRoom}`);
    else if (how === 'door' && target !== `${targetRoom}/index.ts` && !SUB_PATHS.has(target)) found.push(`${where}: go through ${targetRoom}/index.ts`);
  }
  return found;
}

/** Words that a room must not use. */
const SYNCHRONOUS = /(?<![.\w])(?:async|await|Promise|setTimeout|setInterval|setImmediate|queueMicrotask|process\.nextTick)\b(?!\s*:)/;
const CLOCK = /\b(Date\.now|performance\.now|process\.hrtime|new Date\(\))/;
const WAITS = /\bAtomics\.wait(Async)?\b/;
const CODE_GENERATION = /\beval\(|\bMath\.random\(/;

function roomObjections(path: string, code: string): string[] {
  const room = path.split('/')[0] as string;
  const rule = ROOMS.get(room);
  if (rule === undefined) return [];
  const found: string[] = [];
  const object = (pattern: RegExp, why: string): void => {
    const match = pattern.exec(code);
    if (match) found.push(`${path}:${lineOf(code, match.index)}: ${match[0]}: ${why}`);
  };
  if (room === 'core' || room === 'operators') {
    object(SYNCHRONOUS, `${room} runs to completion`);
    object(CLOCK, `${room} has no clock of its own; take one as an argument`);
  }
  if (!rule.mayWait) object(WAITS, 'only runtime waits');
  if (room !== 'examples') object(CODE_GENERATION, 'not here');
  return found;
}

function markObjections(path: string, source: string, code: string): string[] {
  const found: string[] = [];
  const marks = new RegExp(['\\b(TO', 'DO|FIX', 'ME|XX', 'X|HA', 'CK)\\b'].join('')).exec(source);
  if (marks) found.push(`${path}:${lineOf(source, marks.index)}: ${marks[0]}: finish it, or say in an issue`);
  const isTest = path.startsWith('test/') || path.startsWith('bench/');
  const muted = /\b(test|it|describe|suite)\.(only|skip|todo)\b|\b(only|skip|todo): *true\b/.exec(code);
  if (isTest && muted) found.push(`${path}:${lineOf(code, muted.index)}: ${muted[0]}: every test runs`);
  const needsHead = ROOMS.has(path.split('/')[0] as string) && path.endsWith('.ts') && !path.endsWith('.d.ts');
  if (needsHead && !/^(#!.*\n)?\s*(\/\*\*|\/\/)/.test(source)) found.push(`${path}:1: begin with a paragraph that says what this file is`);
  return found;
}

/** Lines of a file that are more than a reader likes to hold: for a list, not an objection. */
export const LINES_LONG = 300;
