/**
 * The one shared memory of a process, and the views through which TypeScript sees it.
 *
 * A shared `WebAssembly.Memory`: its buffer is a SharedArrayBuffer, so every thread and every WebAssembly
 * instance sees the same bytes at the same addresses, without a copy. It has its full size from the start and
 * never grows. Untouched pages cost address space only, and the views stay valid for the life of the process.
 * An address is a byte offset into this memory; 0 means "none". Who owns which bytes is up to the allocator
 * (slab.ts).
 */

import { MillraceError, shown } from '../errors.ts';
import { type WasmMemory, wasm } from './webassembly.ts';

const PAGE_BYTES = 65_536;
export const MEMORY_BYTES_MAX = 65_535 * PAGE_BYTES;

export interface SharedMemory {
  /**
   * Undefined where WebAssembly is not available. The bytes are then a plain SharedArrayBuffer, for the
   * TypeScript kernels.
   */
  readonly memory: WasmMemory | undefined;
  readonly buffer: SharedArrayBuffer;
  readonly byteLength: number;
  readonly u8: Uint8Array<SharedArrayBuffer>;
  readonly i8: Int8Array<SharedArrayBuffer>;
  readonly u16: Uint16Array<SharedArrayBuffer>;
  readonly i16: Int16Array<SharedArrayBuffer>;
  readonly u32: Uint32Array<SharedArrayBuffer>;
  readonly i32: Int32Array<SharedArrayBuffer>;
  readonly f32: Float32Array<SharedArrayBuffer>;
  readonly f64: Float64Array<SharedArrayBuffer>;
  readonly i64: BigInt64Array<SharedArrayBuffer>;
  readonly view: DataView<SharedArrayBuffer>;
}

/** What crosses a thread boundary (postMessage, a Piscina task). `attachMemory` makes views of it there. */
export type SharedMemoryHandle = WasmMemory | SharedArrayBuffer;

/**
 * A new shared memory of at least `bytes`, rounded up to 64 KiB.
 *
 * @throws MillraceError ERR_MILLRACE_MEMORY when the system cannot reserve that much, ERR_MILLRACE_OPTION
 *   when `bytes` is out of range
 */
export function createMemory(bytes: number): SharedMemory {
  if (!(bytes > 0 && bytes <= MEMORY_BYTES_MAX)) {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      `memory is ${shown(bytes)} bytes; it can be 1 to ${MEMORY_BYTES_MAX} (just under 4 GiB) in one process. Run more processes for more.`,
    );
  }
  const pages = Math.ceil(bytes / PAGE_BYTES);
  try {
    if (wasm === undefined) return attachMemory(new SharedArrayBuffer(pages * PAGE_BYTES));
    return attachMemory(new wasm.Memory({ initial: pages, maximum: pages, shared: true }));
  } catch (cause) {
    throw new MillraceError(
      'ERR_MILLRACE_MEMORY',
      `The system cannot reserve ${pages * PAGE_BYTES} bytes of shared memory. Ask for less with the memory option.`,
      { cause },
    );
  }
}

/** Views over a memory that another thread made. */
export function attachMemory(handle: SharedMemoryHandle): SharedMemory {
  const isPlain = handle instanceof SharedArrayBuffer;
  const buffer = (isPlain ? handle : handle.buffer) as SharedArrayBuffer;
  return {
    memory: isPlain ? undefined : handle,
    buffer,
    byteLength: buffer.byteLength,
    u8: new Uint8Array(buffer),
    i8: new Int8Array(buffer),
    u16: new Uint16Array(buffer),
    i16: new Int16Array(buffer),
    u32: new Uint32Array(buffer),
    i32: new Int32Array(buffer),
    f32: new Float32Array(buffer),
    f64: new Float64Array(buffer),
    i64: new BigInt64Array(buffer),
    view: new DataView(buffer),
  };
}

/** What to send to another thread so that it can attach. */
export function memoryHandle(memory: SharedMemory): SharedMemoryHandle {
  return memory.memory ?? memory.buffer;
}
