// The module that the build compiles: every kernel, by file. See README.md in this folder.
export { memoryCopy, memoryFill } from "./memory";
export { lineSplit } from "./lines";
export { crc32c, crc32cTables } from "./crc32c";
export { recordAppend, recordPartitions, recordScan } from "./record-batch";
export { lz4Block, snappyBlock } from "./lz-block";
export { jsonDecode, jsonPrepare } from "./json";
export { groupCount, groupFuseF64, groupAddI64, groupSumF64, groupSumI64, groupMergeSumF64, groupMergeSumI64, groupMinF64, groupMaxF64, groupMinI64, groupMaxI64 } from "./group-accumulate";
export { groupCrowd } from "./group-crowd";
export { groupProbeFuse } from "./group-fuse";
export { groupGatherWords, groupGatherLongs, groupGatherSumF64, groupGatherSumI64, groupGatherSumI64AsF64, groupGatherI64AsF64, groupGatherLength, groupGatherBytes, groupGatherNulls, groupGatherEmpty } from "./group-gather";
export { groupImageNone, groupImageWords, groupImageLongs, groupImageBytes } from "./group-images";
export { groupLaneWords, groupLaneLongs, groupLaneNulls, groupLaneF64, groupLaneI64, groupLaneValid } from "./group-lanes";
export { groupProbe, groupAppend, groupLookup, groupRemoveEmpty, groupRehash, groupMoveStrings, groupScan, groupPack, groupCopyOut } from "./group-probe";
export { groupMergeRun, groupSubtractRun, groupRunLongBytes, groupCopyRun, groupTableToRun } from "./group-runs";
export { arrowOffsetsFall } from "./arrow";
export { jsonEncode } from "./json-encode";
export { recordsToColumn } from "./text";
export { paneSplit } from "./pane-split";
