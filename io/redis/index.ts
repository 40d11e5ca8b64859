/** The door of `millrace/io/redis`: `redis.sink`. It needs no client. */

import { sink } from './sink.ts';

export const redis = { sink } as const;

export type { RedisHashOptions, RedisSinkOptions, RedisSortedSetOptions, RedisStreamOptions } from './options.ts';
