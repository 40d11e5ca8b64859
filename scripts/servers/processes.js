// What the system knows of processes: whether one lives, whose child it is, what it has started.

import { spawnSync } from 'node:child_process';
import fs from 'node:fs';

/**
 * The state and the parent of a process, by the system's file about it.
 *
 * @param {number | undefined} pid
 * @returns {readonly string[] | undefined}
 */
function stat(pid) {
  try {
    // The name, in parentheses, may hold anything.
    return fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ');
  } catch {
    return undefined;
  }
}

/**
 * @param {number} pid
 * @returns {boolean} whether it runs. One that has ended, and whose parent has not looked yet, does not
 */
export function isAlive(pid) {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (error.code !== 'EPERM') return false;
  }
  return process.platform !== 'linux' || stat(pid)?.[0] !== 'Z';
}

/**
 * @param {number | undefined} pid
 * @returns {number | undefined}
 */
export function parentOf(pid) {
  if (process.platform === 'linux') {
    const parent = stat(pid)?.[1];
    return parent === undefined ? undefined : Number(parent);
  }
  const { status, stdout } = spawnSync('ps', ['-o', 'ppid=', '-p', String(pid)], { encoding: 'utf8' });
  return status === 0 ? Number(stdout.trim()) : undefined;
}

/** @returns {[pid: number, parent: number][]} */
function everybody() {
  if (process.platform === 'linux') {
    const pids = fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name));
    return pids.map((pid) => [Number(pid), parentOf(Number(pid)) ?? 0]);
  }
  const { stdout } = spawnSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' });
  return (stdout ?? '').split('\n').flatMap((line) => {
    const [pid, parent] = line.trim().split(/\s+/).map(Number);
    return pid > 0 ? [[pid, parent]] : [];
  });
}

/**
 * @param {number} pid
 * @returns {number[]} its children, theirs, and so on
 */
export function descendantsOf(pid) {
  const all = process.platform === 'win32' ? [] : everybody();
  const found = [pid];
  for (let i = 0; i < found.length; i++) for (const [child, parent] of all) if (parent === found[i]) found.push(child);
  return found.slice(1);
}
