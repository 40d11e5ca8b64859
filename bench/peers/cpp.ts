/**
 * The C++ peers: programs in cpp/ that speak the protocol of contestant.ts, compiled on demand into
 * .cache/bench.
 */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type GroupByQuestion, type KeyKind, TEXTS_OF_PAIR } from '../cases/group-by-input.ts';
import type { Entry, Input } from '../harness.ts';

const SOURCES = fileURLToPath(new URL('./cpp/', import.meta.url));
const BUILT = join(dirname(dirname(dirname(SOURCES))), '.cache', 'bench');
const COMPILER = process.env.CXX ?? 'g++';
const FLAGS = ['-O3', '-march=native', '-std=c++17'];

const KEYS: Readonly<Record<KeyKind, number>> = { u32: 0, i64: 1, utf8: 2, 'utf8+i32': 3 };

/**
 * @param form `same`: the slots and sums of our table; `plain`: the leanest slot that can answer (u32 keys)
 */
export function cppGroupBy({ kind, keyCount, isGrowing }: GroupByQuestion, form: 'same' | 'plain'): Entry {
  const flags = [`-DKEY=${KEYS[kind]}`, ...(form === 'plain' ? ['-DPLAIN'] : [])];
  return cppEntry('group-by.cpp', flags, [], ({ dir }) => [dir, String(isGrowing ? 0 : keyCount * 2), String(TEXTS_OF_PAIR)]);
}

/** @param libraries flags after the source: `-lsimdjson` */
export function cppEntry(
  source: string,
  flags: readonly string[],
  libraries: readonly string[],
  args: (input: Input) => readonly string[],
  header?: string,
): Entry {
  return {
    isHeavy: true,
    missing: () => missingCompiler() ?? (header === undefined ? undefined : missingHeader(header)),
    program: (input) => ({ command: compile(source, flags, libraries), args: args(input) }),
  };
}

export function compilerVersion(): string | undefined {
  const { status, stdout } = spawnSync(COMPILER, ['--version'], { encoding: 'utf8' });
  return status === 0 ? stdout.split('\n')[0] : undefined;
}

function missingCompiler(): string | undefined {
  return compilerVersion() === undefined ? `there is no ${COMPILER} (set CXX)` : undefined;
}

function missingHeader(header: string): string | undefined {
  const { status } = spawnSync(COMPILER, ['-E', '-x', 'c++', '-'], { input: `#include <${header}>\n`, encoding: 'utf8', maxBuffer: 64 << 20 });
  return status === 0 ? undefined : `there is no <${header}>`;
}

/** The program. It is compiled unless one with the same text and flags exists. */
function compile(source: string, flags: readonly string[], libraries: readonly string[]): string {
  const hash = createHash('sha256');
  for (const file of readdirSync(SOURCES).sort()) if (file === source || file.endsWith('.h')) hash.update(readFileSync(join(SOURCES, file)));
  const name = `${source.replace(/\.cpp$/, '')}-${hash
    .update([COMPILER, ...FLAGS, ...flags, ...libraries].join(' '))
    .digest('hex')
    .slice(0, 16)}`;
  const program = join(BUILT, name);
  if (existsSync(program)) return program;
  mkdirSync(BUILT, { recursive: true });
  const { status, stderr } = spawnSync(COMPILER, [...FLAGS, ...flags, join(SOURCES, source), '-o', program, ...libraries], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`bench: ${source} does not compile:\n${stderr}`);
  return program;
}
