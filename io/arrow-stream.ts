/**
 * Files of the Arrow IPC streaming format, for sinks of files: the schema, a record batch for each batch that a worker
 * wrote, the end mark. The messages of the workers go to the file as they are.
 */

import { attachMemory, checkOptionNames, MillraceError, type Schema, streamBytes, writeStream } from '../core/index.ts';
import { arrowSinkEncoder } from './arrow-blocks.ts';
import type { FileFormat } from './store/index.ts';

const END_BYTES = 8;

/**
 * Arrow IPC streams, as any Arrow library reads them (`pyarrow.ipc.open_stream`). Names end in `.arrows`.
 *
 * @example files.sink({ dir: './out', value: arrowStream() })
 */
export function arrowStream(options: Readonly<Record<string, never>> = {}): FileFormat {
  checkOptionNames('arrowStream()', options, {});
  return {
    name: 'arrow',
    kind: 'file',
    ext: 'arrows',
    check(schema: Schema): void {
      if (schema.length === 0) throw new MillraceError('ERR_MILLRACE_PIPELINE', 'arrowStream() cannot write rows without columns. Select at least one.');
    },
    encoder: (context, room) => arrowSinkEncoder(context, room),
    async open(schema) {
      const length = streamBytes(schema, []);
      const memory = attachMemory(new SharedArrayBuffer(length));
      writeStream(memory, schema, [], 0, length);
      const [head, end] = [memory.u8.slice(0, length - END_BYTES), memory.u8.slice(length - END_BYTES, length)];
      return () => {
        let isBegun = false;
        return {
          add(rows) {
            if (isBegun) return [rows];
            isBegun = true;
            return [head, rows];
          },
          end: () => [end],
        };
      };
    },
  };
}
