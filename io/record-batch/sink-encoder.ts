/** Result batches to record batches: the worker end of every sink that writes record batches v2. */

import type { Clock } from '../../core/index.ts';
import type { Codec } from '../codec.ts';
import type { SinkEncoder, SinkEncoderContext } from '../sink.ts';

export interface RecordSinkOptions {
  readonly codec: Codec;
  /** Column, or columns, whose text is the record's key and decides its partition. */
  readonly key?: string | readonly string[];
  /** `now` (default), or the name of a timestamp column: `windowEnd`. */
  readonly timestamp?: 'now' | (string & {});
  readonly clock?: Clock;
}

export function recordSinkEncoder(context: SinkEncoderContext, options: RecordSinkOptions): SinkEncoder {
  throw new Error('not yet', { cause: [context, options] });
}
