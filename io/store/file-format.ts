/**
 * How the rows of a file are written: by a codec of lines, or in a format that needs the whole file. Workers
 * write runs of rows; this end makes a file of them.
 */

import { MillraceError, type Schema, shown } from '../../core/index.ts';
import type { BlockRoom } from '../block-writer.ts';
import { type Codec, mustBeCodec } from '../codec.ts';
import { lineSinkEncoder } from '../line-encoder.ts';
import type { SinkEncoder, SinkEncoderContext } from '../sink.ts';

/** What a file is: `parquet()`, `arrowStream()`. Sinks of files take it as `value`, in place of a codec. */
export interface FileFormat {
  /** `parquet`, `arrow`: for messages. */
  readonly name: string;
  readonly kind: 'file';
  /** The ending of names, without a dot. */
  readonly ext: string;
  /** @throws MillraceError ERR_MILLRACE_PIPELINE for a column that it cannot write */
  check(schema: Schema): void;
  /** Worker end: writes rows to `room`. */
  encoder(context: SinkEncoderContext, room: BlockRoom | undefined): SinkEncoder;
  /** This end. Loads what it needs; the result makes the bytes of one file after the other, or of several at a time. */
  open(schema: Schema): Promise<() => FileBody>;
}

/** The bytes of one file. */
export interface FileBody {
  /** Rows as the worker wrote them; a view that may be gone when this returns. Gives bytes of the file, to be written at once. */
  add(rows: Uint8Array): Iterable<Uint8Array>;
  /** The rest of the file. */
  end(): Iterable<Uint8Array>;
}

const EXTENSIONS: ReadonlyMap<string, string> = new Map([
  ['json', 'jsonl'],
  ['csv', 'csv'],
]);
const NOTHING: readonly Uint8Array[] = [];

/**
 * The format of the option `value`.
 *
 * @throws MillraceError ERR_MILLRACE_OPTION when it is neither a codec nor a format
 */
export function fileFormatOf(what: string, value: Codec | FileFormat): FileFormat {
  if ((value as Partial<FileFormat> | undefined)?.kind === 'file') return value as FileFormat;
  mustBeCodec(what, value);
  return linesOf(what, value as Codec);
}

/** Rows as lines: the bytes of the workers are those of the file. */
function linesOf(what: string, codec: Codec): FileFormat {
  return {
    name: codec.name,
    kind: 'file',
    ext: EXTENSIONS.get(codec.name) ?? 'txt',
    check(): void {
      if (codec.name === 'arrow')
        throw new MillraceError(
          'ERR_MILLRACE_PIPELINE',
          `${what} writes lines, which the arrow codec does not. Use json(), csv() or text(), or the format arrowStream().`,
        );
    },
    encoder: (context, room) => lineSinkEncoder(context, codec, room),
    open: async () => () => ({ add: (rows) => [rows], end: () => NOTHING }),
  };
}

/** The columns of the option `columns`. */
export function columnsOf(what: string, columns: readonly string[] | undefined): readonly string[] | undefined {
  if (columns === undefined || (Array.isArray(columns) && columns.length > 0 && columns.every((name) => typeof name === 'string'))) return columns;
  throw new MillraceError('ERR_MILLRACE_OPTION', `${what}: columns is ${shown(columns)}; it must be a list of columns, at least one.`);
}
