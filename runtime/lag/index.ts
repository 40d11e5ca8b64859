/** The door of runtime/lag: `millrace lag`. */

export { describeLag, lagObject, lagsOf, type SourceLag } from './lag.ts';
