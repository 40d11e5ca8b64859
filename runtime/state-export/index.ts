/** The door of runtime/state-export: `millrace checkpoint export`, the rows of the state as lines of JSON. */

export { exportState, type StateExport } from './state-export.ts';
export { stateLine } from './state-line.ts';
