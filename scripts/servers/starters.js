// Who started this process, so that a server, or Kafka, ends with them: the parent; under `npm run` that is a shell, whose parent is
// npm, and whose parent is who is meant. And the signals and the end of standard input that end it, too.

import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { parentOf } from './processes.js';

const POLL_MS = 500;

/** Process ids, the nearest first. */
function starters() {
  // Some shells give way to the last command that they run; then npm itself is the parent.
  const wanted = process.env.npm_lifecycle_event === undefined ? 1 : isShell(process.ppid) ? 3 : 2;
  const chain = [process.ppid];
  while (chain.length < wanted) {
    const parent = parentOf(chain.at(-1));
    if (parent === undefined || parent <= 1) break;
    chain.push(parent);
  }
  return chain;
}

/** @param {number} pid */
function isShell(pid) {
  const name =
    process.platform === 'linux'
      ? fs.readFileSync(`/proc/${pid}/comm`, 'utf8')
      : spawnSync('ps', ['-o', 'comm=', '-p', String(pid)], { encoding: 'utf8' }).stdout;
  return /(^|\/)-?(ba|da|z|k|a)?sh$/.test((name ?? '').trim());
}

/**
 * Calls `ended` when one of those who started this is gone: the chain from here upward is not what it was.
 *
 * @param {() => void} ended
 */
export function watchStarters(ended) {
  if (process.platform === 'win32') return;
  const first = starters();
  const timer = setInterval(() => {
    const now = [process.ppid];
    while (now.length < first.length) now.push(parentOf(now.at(-1)) ?? 0);
    if (now.some((pid, i) => pid !== first[i])) ended();
  }, POLL_MS);
  timer.unref();
}

/**
 * Calls `stop` at SIGINT, SIGTERM and SIGHUP.
 *
 * @param {() => void} stop
 */
export function stopAtSignals(stop) {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, stop);
}

/**
 * Calls `stop` at the end of standard input if somebody holds the other end: a terminal, a pipe of the parent. /dev/null ends nothing.
 *
 * @param {() => void} stop
 */
export function stopAtEndOfInput(stop) {
  const input = fs.fstatSync(0);
  if (process.stdin.isTTY || input.isFIFO() || input.isSocket()) process.stdin.on('end', stop).resume();
}
