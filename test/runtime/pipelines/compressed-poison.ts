// Text records of a log topic as they come, and what could not be decoded.

import { collect, log, pipeline, text } from 'millrace';

export const rows = collect();
export const errors = collect();

export interface Params {
  readonly dir: string;
  readonly decompressedBytesMax?: number;
}

export default ({ dir, decompressedBytesMax }: Params) => {
  const stream = pipeline('poison').from(
    log.source({ dir, topic: 'in', value: text(), ...(decompressedBytesMax === undefined ? {} : { decompressedBytesMax }) }),
  );
  stream.errors.to(errors);
  return stream.to(rows);
};
