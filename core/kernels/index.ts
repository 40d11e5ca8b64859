// The module that the build compiles: every kernel, by file. See README.md in this folder.
export { memoryCopy } from "./memory";
export { lineSplit } from "./lines";
