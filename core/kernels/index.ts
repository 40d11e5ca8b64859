// The module that the build compiles: every kernel, by file. See README.md in this folder.
export { memoryCopy } from "./memory";
export { lineSplit } from "./lines";
export { crc32c, crc32cTables } from "./crc32c";
export { recordAppend, recordPartitions, recordScan } from "./record-batch";
export { lz4Block, snappyBlock } from "./lz-block";
export { jsonDecode, jsonPrepare } from "./json";
