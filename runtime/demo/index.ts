/** The door of runtime/demo: the job that checks itself. */

export { demo } from './demo.ts';
