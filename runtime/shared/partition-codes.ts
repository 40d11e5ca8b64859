/** What a partition is when an epoch ends, as a number: in the control block, in the journal, and between the two. */

export const PARTITION_ACTIVE = 0;
/** No more rows will come, ever: the partition no longer holds the watermark back. */
export const PARTITION_ENDED = 1;
/** Nothing came for a while though we were asking: it does not hold the watermark back until something comes. */
export const PARTITION_IDLE = 2;
/** Reading stops here for now, and open windows are to come out (drain: 'emit'): as ended for this run's results, but no claim on what is committed. */
export const PARTITION_DRAINED = 3;
