/** Delivery: records to a server that takes or refuses each of them. */

export { Circuit } from './circuit.ts';
export { Delivery, type DeliveryContext } from './delivery.ts';
export { FramedRecords, type RecordFrame, timeOf } from './framed-records.ts';
export { untilOpen } from './opening.ts';
export { DELIVERY_OPTIONS, type DeliveryOptions, type DeliverySettings, deliverySettings } from './options.ts';
export { briefly, type CallCounts, type Calls, Patience } from './patience.ts';
export { RecordBlock, recordBlockEncoder } from './record-block.ts';
export type { Refusal } from './refusals.ts';
export { RowRecords, type RowWriter, refusalOf } from './row-records.ts';
export { type RecordFault, Records, Refused, TooLarge, type Transport, Unavailable } from './transport.ts';
export { DeliveryWriter } from './writer.ts';
