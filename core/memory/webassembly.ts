/**
 * The part of the WebAssembly interface that the package uses. Declared here, so that neither we nor users
 * need the DOM types.
 */

export interface WasmMemory {
  readonly buffer: SharedArrayBuffer;
}

interface WasmNamespace {
  readonly Memory: new (descriptor: { initial: number; maximum: number; shared: true }) => WasmMemory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: Record<string, Record<string, unknown>>) => { readonly exports: Record<string, unknown> };
}

/** Undefined where WebAssembly is not allowed (`--jitless`). */
export const wasm: WasmNamespace | undefined = (globalThis as { WebAssembly?: WasmNamespace }).WebAssembly;
