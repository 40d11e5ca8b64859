/**
 * Files out, in a folder of this machine: text, one row per line, or Parquet and Arrow. Each epoch has a file of
 * its own, `PREFIX-EPOCH-PART.EXT`, or a file for each name that its rows give. It is written under a hidden
 * name, made durable, and renamed when the epoch is committed, so a visible file is complete. One sink at a
 * time may use the names. What becomes of them at a failure is the same for all stores: see store/writer.
 */

import { resolve } from 'node:path';
import { checkOptionNames, MillraceError, shown, shownPath } from '../../core/index.ts';
import type { Changelog, ChangelogSink, Sink } from '../sink.ts';
import { FILES_OPTIONS, type FilesOptions, storeSink } from '../store/index.ts';
import { openLocalStore } from './local-store.ts';

export interface FilesSinkOptions extends FilesOptions {
  /** The folder. It is created if it does not exist. */
  readonly dir: string;
}

/**
 * @example files.sink({ dir: './out', value: json() }) // out/part-0000000001-00000.jsonl, ...
 * @example files.sink({ dir: './out', name: '{windowStart:yyyy-MM-dd_HH-mm}', value: csv(), columns: ['page', 'ms'] })
 * @throws MillraceError ERR_MILLRACE_OPTION for a name that could leave the folder, ERR_MILLRACE_PIPELINE for
 * a codec that writes no lines, and for columns that a name or a format cannot have. The job fails with
 * ERR_MILLRACE_FILE when the folder or a file cannot be written.
 */
export function filesSink(options: FilesSinkOptions & { readonly changelog: Changelog }): ChangelogSink;
export function filesSink(options: FilesSinkOptions): Sink;
export function filesSink(options: FilesSinkOptions): Sink {
  checkOptionNames('files.sink', options, { ...FILES_OPTIONS, dir: true });
  const { dir } = options;
  if (typeof dir !== 'string' || dir === '')
    throw new MillraceError('ERR_MILLRACE_OPTION', `files.sink: dir is ${shownPath(dir)}; it must be the path of a folder.`);
  const root = resolve(dir);
  return storeSink({ what: 'files.sink', name: `files ${dir}`, place: shown(root), open: (context) => openLocalStore(root, context) }, options);
}
