/** Parquet, as a format of files. */

export { type ParquetOptions, parquet } from './format.ts';
