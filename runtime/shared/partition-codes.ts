/**
 * The state of a partition when an epoch ends, as a number: in the control block, in the journal, and between
 * the two.
 */

export const PARTITION_ACTIVE = 0;
/** No more rows will ever come: the partition no longer holds the watermark back. */
export const PARTITION_ENDED = 1;
/**
 * Nothing has come for a while although we were asking: it does not hold the watermark back until something
 * comes.
 */
export const PARTITION_IDLE = 2;
/**
 * Reading stops here for now, and open windows are emitted (drain: 'emit'). For results of this run it has
 * ended; for what is committed it has not.
 */
export const PARTITION_DRAINED = 3;
