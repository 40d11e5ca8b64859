// The life of a server: its processes, each the head of a process group, are started, waited for, killed with kill -9,
// started again over the same data, and ended. A shell beside them ends them, and removes their folder, when the process
// that started them is gone, however it ended.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { descendantsOf, isAlive } from './processes.js';
import { isRoot, NOBODY } from './provision.js';

/** A loaded machine of two cores takes ten times as long as a free one. */
const READY_TIMEOUT_MS = 120_000;
const STOP_TIMEOUT_MS = 20_000;
const POLL_MS = 100;
const LOG_TAIL_CHARS = 4000;

/**
 * A program of a server. `args` may depend on what is there at each start. `name` names its log file. `env` is added to ours.
 *
 * @typedef {{ name: string, command: string, args: readonly string[] | (() => readonly string[]), env?: Record<string, string>, cwd?: string }} Program
 */

/**
 * @param {{
 *   title: string, dir: string, ownsDir: boolean, asNobody?: boolean, stopSignal?: NodeJS.Signals,
 *   programs: readonly Program[], isReady: (log: () => string) => boolean | Promise<boolean>,
 * }} server isReady: with what the logs say since this start. programs: in the order in which they start; they are stopped in the other order. asNobody: when we are root
 * @returns {Promise<{ pids: readonly number[], logs: readonly string[], exited: Promise<void>, kill(): Promise<void>, restart(): Promise<void>, stop(): Promise<void> }>}
 */
export async function launch({ title, dir, ownsDir, asNobody = false, stopSignal = 'SIGTERM', programs, isReady }) {
  const logs = programs.map(({ name }) => path.join(dir, `${name}.log`));
  const user = asNobody && isRoot() ? { uid: NOBODY, gid: NOBODY } : {};
  /** @type {number[]} */
  let logBytes = [];
  /** @type {{ child: import('node:child_process').ChildProcess, exited: Promise<void> }[]} */
  let running = [];
  /** @type {import('node:child_process').ChildProcess | undefined} */
  let watchdog;

  const start = () => {
    logBytes = logs.map((log) => fs.statSync(log, { throwIfNoEntry: false })?.size ?? 0);
    running = programs.map(({ command, args, env = {}, cwd = dir }, i) => {
      const log = fs.openSync(logs[i], 'a');
      const child = spawn(command, typeof args === 'function' ? args() : args, {
        cwd,
        env: { ...process.env, ...env },
        stdio: ['ignore', log, log],
        detached: true,
        ...user,
      });
      fs.closeSync(log);
      const exited = new Promise((resolve) => {
        child.once('exit', () => resolve());
        child.once('error', (error) => {
          fs.appendFileSync(logs[i], `${error.message}\n`);
          resolve();
        });
      });
      return { child, exited };
    });
    watch();
  };
  const watch = () => {
    watchdog?.kill('SIGKILL');
    const pids = running.filter(isRunning).flatMap(({ child }) => child.pid ?? []);
    watchdog = watchFor(pids, ownsDir ? dir : undefined);
  };
  const killAll = async () => {
    // Some have left the group, as PostgreSQL's do, and hold files until they notice.
    const others = running.filter(isRunning).flatMap(({ child }) => descendantsOf(child.pid));
    for (const { child } of running) signalGroup(child, 'SIGKILL');
    for (const pid of others) sendQuietly(pid, 'SIGKILL');
    await Promise.all(running.map(({ exited }) => exited));
    for (const deadline = Date.now() + STOP_TIMEOUT_MS; others.some(isAlive) && Date.now() < deadline; ) await sleep(10);
  };
  const end = async () => {
    for (const one of running.toReversed()) {
      if (!isRunning(one)) continue;
      signal(one.child, stopSignal);
      await Promise.race([one.exited, sleep(STOP_TIMEOUT_MS, undefined, { ref: false })]);
    }
    await killAll();
  };
  // What was just killed may still be making files.
  const removeDir = () => ownsDir && fs.rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  // The last resort: neither a server nor its data outlives the process that started it.
  const atExit = () => {
    for (const { child } of running) signalGroup(child, 'SIGKILL');
    removeDir();
  };
  const stop = async () => {
    await end();
    process.removeListener('exit', atExit);
    watchdog?.kill('SIGKILL');
    removeDir();
  };
  const log = () => logs.map((file, i) => fs.readFileSync(file).toString('utf8', logBytes[i])).join('');
  const untilReady = async () => {
    const deadline = Date.now() + READY_TIMEOUT_MS;
    while (!(await isReady(log))) {
      const dead = running.findIndex((one) => !isRunning(one));
      if (dead < 0 && Date.now() < deadline) {
        await sleep(POLL_MS);
        continue;
      }
      const tails = logs.map((log) => `--- ${path.basename(log)}\n${fs.readFileSync(log, 'utf8').slice(-LOG_TAIL_CHARS)}`);
      await stop();
      const what = dead < 0 ? `did not answer within ${READY_TIMEOUT_MS / 1000} s` : `ended while starting (${programs[dead].name})`;
      throw new Error(`${title} ${what}. The end of its log:\n${tails.join('\n')}`);
    }
  };

  process.once('exit', atExit);
  start();
  await untilReady();
  return {
    get pids() {
      return running.flatMap(({ child }) => child.pid ?? []);
    },
    logs,
    get exited() {
      return Promise.race(running.map(({ exited }) => exited));
    },
    kill: async () => {
      await killAll();
      watch();
    },
    restart: async () => {
      await end();
      start();
      await untilReady();
    },
    stop,
  };
}

/** @param {{ child: import('node:child_process').ChildProcess }} one */
const isRunning = ({ child }) => child.pid !== undefined && child.exitCode === null && child.signalCode === null;

/** @param {import('node:child_process').ChildProcess} child */
function signal(child, name) {
  if (isRunning({ child })) child.kill(name);
}

/**
 * The program and all that it has started. The group may live on when its head is gone.
 *
 * @param {import('node:child_process').ChildProcess} child
 * @param {NodeJS.Signals} name
 */
function signalGroup(child, name) {
  if (child.pid !== undefined) sendQuietly(process.platform === 'win32' ? child.pid : -child.pid, name);
}

/** A signal to whoever is left. */
function sendQuietly(pid, name) {
  try {
    process.kill(pid, name);
  } catch {
    // Nobody is.
  }
}

/**
 * A shell that waits for the end of this process, including by SIGKILL: the system closes the pipe between the two. The shell
 * then kills the process groups and removes the folder. It has its own process group, so that signals to ours do not end it first.
 *
 * @param {readonly number[]} pids heads of process groups
 * @param {string | undefined} dir
 */
export function watchFor(pids, dir) {
  if (process.platform === 'win32') return undefined;
  const script =
    'cat > /dev/null; dir=$1; shift; for pid; do kill -9 "-$pid" 2> /dev/null; done; if [ -n "$dir" ]; then for i in 1 2 3 4 5; do rm -rf "$dir" && break; sleep 0.2; done; fi';
  const shell = spawn('/bin/sh', ['-c', script, 'sh', dir ?? '', ...pids.map(String)], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  shell.once('error', () => {});
  shell.unref();
  shell.stdin?.unref?.();
  return shell;
}
