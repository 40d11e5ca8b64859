/**
 * Finds and instantiates the WebAssembly kernels (core/kernels/, AssemblyScript) over a shared memory.
 *
 * One instance per thread and memory. The module has no state of its own: every kernel works on addresses of
 * the shared memory. Where WebAssembly is not available, the module was not built, or
 * MILLRACE_KERNELS=typescript is set, `kernelExports` returns undefined. Callers then use their TypeScript
 * reference over the same bytes.
 */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { SharedMemory } from './shared-memory.ts';
import { wasm } from './webassembly.ts';

const instances = new WeakMap<SharedMemory, Record<string, unknown>>();
let compiled: object | undefined | null;

function kernelModule(): object | undefined {
  if (compiled !== undefined) return compiled ?? undefined;
  compiled = null;
  if (process.env.MILLRACE_KERNELS === 'typescript' || wasm === undefined) return undefined;
  // Beside the room in the package; in dist when the sources run directly.
  for (const place of ['../kernels.wasm', '../../dist/core/kernels.wasm']) {
    try {
      compiled = new wasm.Module(readFileSync(fileURLToPath(new URL(place, import.meta.url))));
      return compiled;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return undefined;
}

/**
 * The kernels over this memory, or undefined: use the TypeScript reference. `T` names the kernels that the
 * caller uses.
 */
export function kernelExports<T>(memory: SharedMemory): T | undefined {
  if (memory.memory === undefined) return undefined;
  const known = instances.get(memory);
  if (known) return known as T;
  const module = kernelModule();
  if (module === undefined) return undefined;
  const { exports } = new (wasm as NonNullable<typeof wasm>).Instance(module, { env: { memory: memory.memory, abort: kernelAbort } });
  instances.set(memory, exports);
  return exports as T;
}

function kernelAbort(): never {
  throw new Error('millrace: a kernel aborted');
}
