/** The door of runtime/engine: what a worker does, without its thread. */

export { Engine, type EngineContext } from './engine.ts';
export { checkState, type EngineState, headOf, joinStates, type StateHead } from './state-snapshot.ts';
