/** The door of `millrace/io/s3`: `s3.sink`. It needs aws4fetch. */

import { sink } from './sink.ts';

export const s3 = { sink } as const;

export type { S3Credentials } from './client.ts';
export type { S3SinkOptions } from './sink.ts';
