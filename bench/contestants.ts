/** Contestants: an entry in its own process (contestant.ts has the protocol), or in this one. */

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type BenchCase, type Contestant, type Entry, type Input, type Sample, sampleOf } from './harness.ts';

const START_TIMEOUT_MS = 240_000;

/** Starts an entry in this process: `--tiny`, where nothing is timed. */
export async function contestantHere(name: string, entry: Entry, input: Input): Promise<Contestant> {
  if (entry.start === undefined) throw new Error(`bench: ${name} is a program`);
  const contest = await entry.start(input);
  return { name, entry, sample: (seconds, isChecked) => sampleOf(contest, seconds, isChecked), close: async () => contest.close?.() };
}

/** Starts an entry in a new process; resolves when it is ready to run. */
export async function contestantOutside(of: BenchCase, name: string, entry: Entry, input: Input): Promise<Contestant> {
  const program = entry.program?.(input) ?? {
    command: process.execPath,
    args: [
      '--expose-gc',
      '--max-old-space-size=12000',
      '--import',
      new URL('../scripts/typescript.js', import.meta.url).href,
      fileURLToPath(new URL('./contestant.ts', import.meta.url)),
      JSON.stringify([of.name, name, input]),
    ],
  };
  const child = spawn(program.command, program.args, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...entry.env } });
  const waiting: { resolve(line: string): void; reject(error: Error): void }[] = [];
  const said: string[] = [];
  let failure: Error | undefined;
  const exited = new Promise<void>((resolve) => {
    const fail = (error: Error): void => {
      failure = error;
      for (const { reject } of waiting.splice(0)) reject(error);
      resolve();
    };
    child.once('error', (error) => fail(error));
    child.once('exit', (code, signal) => fail(new Error(`bench: ${of.name}: ${name} ended with ${signal ?? `code ${code}`}`)));
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (!line.startsWith('@')) return;
    const next = waiting.shift();
    if (next === undefined) said.push(line.slice(1));
    else next.resolve(line.slice(1));
  });
  const next = (): Promise<string> => {
    const line = said.shift();
    if (line !== undefined) return Promise.resolve(line);
    if (failure !== undefined) return Promise.reject(failure);
    return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
  };
  const timer = setTimeout(() => child.kill(), START_TIMEOUT_MS);
  await next();
  clearTimeout(timer);
  return {
    name,
    entry,
    async sample(seconds, isChecked) {
      child.stdin.write(`run ${seconds}${isChecked ? ' check' : ''}\n`);
      return JSON.parse(await next()) as Sample;
    },
    async close() {
      child.stdin.end();
      await exited;
    },
  };
}
