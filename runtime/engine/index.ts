/** The door of runtime/engine: what a worker does, without its thread. */

export { headOf, type StateHead } from '../plan/index.ts';
export { Engine, type EngineContext } from './engine.ts';
export { ExchangeRunner, ownGroups } from './exchange-runner.ts';
export { originInLog, redo } from './redo.ts';
export type { SpillPlace } from './state-budget.ts';
export { checkState, type EngineState, joinStates } from './state-snapshot.ts';
