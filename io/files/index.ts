/** Text files as a source and as a sink: `files.source({ path, value })`, `files.sink({ dir, value })`. */

import { filesSink } from './sink.ts';
import { filesSource } from './source.ts';

export type { FilesSinkOptions } from './sink.ts';
export type { FilesLocation, FilesSourceOptions } from './source.ts';
export type { FileCompression } from './text-file.ts';

export const files = { source: filesSource, sink: filesSink } as const;
