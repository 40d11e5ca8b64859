/** The door of runtime/disk: a folder on disk, with what a crash can lose, and its lock. */

export type { Disk, DiskFile } from './disk.ts';
export { type LockOptions, lockFolder } from './folder-lock.ts';
export { NodeDisk } from './node-disk.ts';
export { type CrashKind, SimulatedDisk } from './simulated-disk.ts';
