/** The door of operators/by-key: keys to numbers, rows as records, an order by time. */

export { KeyIndex } from './key-index.ts';
export { recordPages } from './record-pages.ts';
export { putTime, RowImage, sameBytes } from './row-image.ts';
export { TimeHeap } from './time-heap.ts';
export { type RowOrigin, type RowPlace, type TakenRows, type WaitingInput, type WaitingRow, WaitingRows } from './waiting-rows.ts';
