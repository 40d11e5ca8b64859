/** Types of scripts/servers/processes.js. */

/** Whether a process runs. One that has ended, and whose parent has not looked yet, does not. */
export function isAlive(pid: number): boolean;
export function parentOf(pid: number | undefined): number | undefined;
/** Its children, theirs, and so on. */
export function descendantsOf(pid: number): number[];
