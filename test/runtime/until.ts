/** Waits for what must come, in place of a sleep that hopes. */

import { setTimeout as sleep } from 'node:timers/promises';

/** When a wait is given up: no test depends on how soon something comes, only on that it comes. */
const HANG_MS = 300_000;

/** @throws Error that says what was waited for, when it does not come in five minutes */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const deadline = Date.now() + HANG_MS; !(await condition()); await sleep(5)) {
    if (Date.now() > deadline) throw new Error(`waited ${HANG_MS / 1_000} s for: ${what}`);
  }
}
