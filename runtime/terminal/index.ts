/** The door of runtime/terminal: `millrace top`. */

export { type TopOptions, top } from './top.ts';
