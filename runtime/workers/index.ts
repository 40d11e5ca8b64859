/** The door of runtime/workers: threads and their rings. */

export type { Crew, CrewEvents } from './crew.ts';
export { EngineCrew } from './engine-crew.ts';
export { planFor } from './plan-for.ts';
export { asPassing, mayPass, type StoredTask } from './pool.ts';
export { Workers } from './workers.ts';
