/** Kills the process of a job again and again (fixtures/job-to-server.ts), then lets it come to its end. */

import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('./fixtures/job-to-server.ts', import.meta.url));
const typescript = fileURLToPath(new URL('../../scripts/typescript.js', import.meta.url));

/** Resolves when the job is done, after so many kills, each once it has written something more. */
export async function killJobs(dir: string, params: object, guarantee: 'at-least-once' | 'exactly-once', kills: number): Promise<void> {
  for (let attempt = 0; attempt <= kills; attempt++) {
    const child = spawn(process.execPath, ['--import', typescript, script, dir, JSON.stringify(params), guarantee], { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    child.stderr.on('data', (text: Buffer) => {
      said += text;
    });
    let isDone = false;
    child.stdout.on('data', (text: Buffer) => {
      isDone ||= String(text).includes('done');
      if (attempt < kills && Number(String(text).trim().split('\n').at(-1)) > 0) child.kill('SIGKILL');
    });
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) => child.on('exit', (...how) => resolve(how)));
    if (isDone) return;
    if (signal !== 'SIGKILL') throw new Error(`the job ended with ${code ?? signal}: ${said}`);
  }
  throw new Error('the job was not done');
}

/** Waits until it is so. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await sleep(10);
}
