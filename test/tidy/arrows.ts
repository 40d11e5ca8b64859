/**
 * The arrows within rooms: which sub-room may import which. A sub-room is a folder of a room, or a file at the room's top
 * that is named here; the other files at the top are the room's `base`. Imports that come from outside of a folder go
 * through its door, index.ts.
 *
 * The lists are in the order of the arrows: each sub-room may know some of those above it in the list, and none below. So
 * the graph has no circle. Files have none either, within a sub-room or across, types included.
 */

import { posix } from 'node:path';
import { importsOf } from './source-text.ts';

/** By sub-room: what it may import besides itself. `*`: all above it. */
type Arrows = readonly (readonly [subRoom: string, ...mayImport: string[]])[];

export const ARROWS: ReadonlyMap<string, Arrows> = new Map<string, Arrows>([
  [
    'core',
    [
      ['kernels'],
      ['base'],
      ['memory', 'base'],
      ['batch', 'base', 'memory'],
      ['arrow', 'base', 'memory', 'batch'],
      ['groups', 'base', 'memory', 'batch'],
      ['panes', 'base', 'memory', 'batch', 'groups'],
      ['models', 'base', 'groups'],
      ['hash-aggregator', 'base', 'memory', 'batch', 'groups'],
      ['sliding-window', 'base', 'memory', 'batch', 'groups', 'panes'],
      ['index', '*'],
    ],
  ],
  [
    'operators',
    [
      ['windows'],
      ['rows'],
      ['by-key'],
      ['exchange', 'by-key'],
      ['aggregate', 'windows', 'exchange'],
      ['keyed', 'windows', 'rows', 'by-key', 'exchange'],
      ['view', 'exchange', 'aggregate'],
      ['fold', 'windows', 'rows', 'exchange', 'keyed'],
      ['user-aggregates', 'windows', 'rows', 'exchange', 'aggregate', 'keyed', 'fold'],
      ['row-windows', 'windows', 'exchange', 'aggregate', 'keyed', 'fold', 'user-aggregates'],
      ['join', 'windows', 'exchange', 'by-key', 'keyed'],
      ['over', 'exchange', 'by-key', 'aggregate', 'keyed', 'user-aggregates'],
      ['session', 'windows', 'exchange', 'by-key', 'aggregate', 'keyed', 'fold', 'user-aggregates'],
      ['changes', 'exchange', 'by-key', 'aggregate', 'keyed', 'fold', 'user-aggregates', 'join'],
      ['index', '*'],
    ],
  ],
  [
    'io',
    [
      ['base'],
      ['delivery', 'base'],
      ['http', 'base', 'delivery'],
      ['registry', 'base', 'delivery', 'http'],
      ['elasticsearch', 'base', 'delivery', 'http'],
      ['clickhouse', 'base', 'delivery', 'http'],
      ['hdfs', 'base', 'delivery', 'http'],
      ['s3', 'base', 'delivery', 'http'],
      ['postgres', 'base', 'delivery'],
      ['cassandra', 'base', 'delivery'],
      ['hbase', 'base', 'delivery', 'http'],
      ['redis', 'base', 'delivery'],
      ['webhook', 'base', 'delivery', 'http'],
      ['kafka/protocol', 'base'],
      ['kafka/connection', 'base'],
      ['kafka/kafkajs', 'base', 'kafka/protocol', 'kafka/connection'],
      ['kafka/client', 'base', 'kafka/protocol', 'kafka/kafkajs'],
      ['kafka', 'base', 'kafka/protocol', 'kafka/connection', 'kafka/kafkajs', 'kafka/client'],
    ],
  ],
  [
    'runtime',
    [
      ['plan'],
      ['stream', 'plan'],
      ['shared', 'plan'],
      ['disk'],
      ['epoch', 'plan', 'shared', 'disk'],
      ['state-log'],
      ['checkpoint', 'plan', 'shared', 'disk', 'epoch', 'state-log'],
      ['observe', 'plan', 'shared', 'epoch', 'checkpoint'],
      ['dashboard', 'observe'],
      ['engine', 'plan', 'shared', 'state-log'],
      ['workers', 'plan', 'stream', 'shared', 'state-log', 'engine'],
      ['job', 'plan', 'stream', 'shared', 'epoch', 'state-log', 'checkpoint', 'observe', 'dashboard', 'workers'],
      ['tasks', 'plan', 'observe', 'workers', 'job'],
      ['init', 'checkpoint'],
      ['lag'],
      ['terminal'],
      ['state-export', 'plan', 'disk', 'state-log', 'checkpoint', 'engine'],
      ['driver', 'plan', 'shared', 'disk', 'epoch', 'state-log', 'checkpoint', 'engine', 'workers', 'job'],
      ['testing', 'driver'],
      ['start', 'plan', 'job', 'tasks'],
      ['index', '*'],
      ['demo', 'stream', 'checkpoint', 'observe', 'job', 'tasks', 'index'],
      ['commands', '*'],
      ['command-line', 'checkpoint', 'commands'],
      ['cli', 'command-line'],
    ],
  ],
]);

/** The sub-room that a file of a room is in. */
export function subRoomOf(path: string): string {
  const [room, ...rest] = path.split('/') as [string, ...string[]];
  const inRoom = rest.join('/');
  const names = (ARROWS.get(room) ?? []).map(([name]) => name).sort((a, b) => b.length - a.length);
  const known = names.find((name) => inRoom === `${name}.ts` || inRoom.startsWith(`${name}/`));
  // Formats and connectors of io lie side by side (io/README.md); a folder of another room that nobody named is objected to.
  return known ?? (rest.length > 1 && room !== 'io' ? (rest[0] as string) : 'base');
}

/** Objections to the imports of one file from other sub-rooms of its room. */
export function arrowObjections(path: string, source: string): string[] {
  const room = path.split('/')[0] as string;
  const arrows = ARROWS.get(room);
  if (arrows === undefined) return [];
  const found: string[] = [];
  const own = subRoomOf(path);
  const at = arrows.findIndex(([name]) => name === own);
  if (at < 0) return [`${path}: ${own} is no sub-room of ${room}: name it in test/tidy/arrows.ts, with what it may import`];
  const [, ...allowed] = arrows[at] as Arrows[number];
  for (const { from, line } of importsOf(source)) {
    if (!from.startsWith('.')) continue;
    const target = posix.join(posix.dirname(path), from);
    if (target.split('/')[0] !== room) continue;
    const other = subRoomOf(target);
    if (other === own) continue;
    const where = `${path}:${line}: imports ${from}`;
    const isAbove = arrows.slice(0, at).some(([name]) => name === other);
    if (!(isAbove && (allowed.includes('*') || allowed.includes(other)))) found.push(`${where}: ${room}/${own} must not know ${room}/${other}`);
    else if (target.startsWith(`${room}/${other}/`) && target !== `${room}/${other}/index.ts`) found.push(`${where}: go through ${room}/${other}/index.ts`);
  }
  return found;
}

/**
 * The circles of imports among files, each as its files in order. Type-only imports count, and so do those of
 * AssemblyScript, which name a file without its ending.
 */
export function circlesAmong(sources: ReadonlyMap<string, string>): string[][] {
  const targets = new Map<string, string[]>();
  for (const [path, source] of sources) {
    const found = importsOf(source).flatMap(({ from }) => (from.startsWith('.') ? [posix.join(posix.dirname(path), from)] : []));
    targets.set(
      path,
      found.map((target) => (sources.has(target) ? target : `${target}.ts`)).filter((target) => sources.has(target)),
    );
  }
  const circles: string[][] = [];
  const done = new Set<string>();
  const way: string[] = [];
  const visit = (path: string): void => {
    const at = way.indexOf(path);
    if (at >= 0) {
      circles.push(way.slice(at));
      return;
    }
    if (done.has(path)) return;
    way.push(path);
    for (const target of targets.get(path) ?? []) visit(target);
    way.pop();
    done.add(path);
  };
  for (const path of targets.keys()) visit(path);
  return circles;
}
