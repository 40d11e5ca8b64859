/** Arguments of the command line: read, and refused where they are wrong. */

import { parseArgs } from 'node:util';
import { LOG_LEVELS, type LogLevel } from '../../core/index.ts';
import type { RunOptions } from '../job/index.ts';
import { lineLogger } from '../observe/index.ts';

/** A command: what `--help` says of it, and what it does. It returns the exit code. */
export interface Command {
  readonly help: string;
  run(args: string[]): Promise<number>;
}

/** Wrong arguments: exit code 2. */
export class UsageError extends Error {}

type ArgumentOptions = NonNullable<NonNullable<Parameters<typeof parseArgs>[0]>['options']>;

export function parse(args: string[], options: ArgumentOptions) {
  try {
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

export function oneModule(positionals: readonly string[]): string {
  if (positionals.length !== 1) throw new UsageError(`give one module, not ${positionals.length}`);
  return positionals[0] as string;
}

/** What shows a job to others. */
export function observed(values: Readonly<Record<string, unknown>>): Pick<RunOptions, 'logger' | 'metrics' | 'dashboard'> {
  const { metrics, dashboard, 'log-level': level, json } = values;
  return {
    ...option('logger', level === undefined ? undefined : lineLogger({ level: logLevel(level as string), json: json === true })),
    ...option('metrics', metrics === undefined ? undefined : place('metrics', metrics as string)),
    ...option('dashboard', dashboard === undefined ? undefined : place('dashboard', dashboard as string)),
  };
}

export function logLevel(value: string): LogLevel {
  const level = LOG_LEVELS.find((one) => one === value);
  if (level === undefined) throw new UsageError(`--log-level is ${JSON.stringify(value)}: give one of ${LOG_LEVELS.join(', ')}`);
  return level;
}

/** `9464`, `0.0.0.0:9464` or `[::]:9464`. */
export function place(name: string, value: string): { readonly host?: string; readonly port: number } {
  const [, bracketed, plain, port] = /^(?:(?:\[([^\]]+)\]|([^:]+)):)?(\d+)$/.exec(value) ?? [];
  if (port === undefined) throw new UsageError(`--${name} is ${JSON.stringify(value)}: give a port, or host:port`);
  return { ...option('host', bracketed ?? plain), port: Number(port) };
}

export function wholeNumber(name: string, value: string): number {
  if (!/^\d+$/.test(value)) throw new UsageError(`--${name} is ${JSON.stringify(value)}: give a whole number`);
  return Number(value);
}

export function params(pairs: readonly string[] = []): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1) throw new UsageError(`--param is ${JSON.stringify(pair)}: give key=value`);
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

export function option<K extends string, V>(name: K, value: V | undefined): { [P in K]?: V } {
  return (value === undefined ? {} : { [name]: value }) as { [P in K]?: V };
}
