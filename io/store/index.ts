/** Files of sinks, behind one contract: a local folder, HDFS and object stores are stores. */

export { type FileBody, type FileFormat, fileFormatOf } from './file-format.ts';
export { PartedFile, type Parts } from './parted-file.ts';
export { FILES_OPTIONS, type FilesOptions, type StoreTarget, storeSink } from './sink.ts';
export type { FileAside, FileState, Store, StoreContext, StoredFile } from './store.ts';
