/** The snapshot of a shard as bytes, as bases of the state log and shards that are put away have it. */

import { DefaultDeserializer, serialize } from 'node:v8';

export function stateBytesOf(snapshot: unknown): Uint8Array {
  return serialize(snapshot);
}

/**
 * The snapshot again. Its arrays of bytes are copies: one that is a part of `bytes` would keep all of these
 * alive, and a structured clone of it would copy all of them.
 */
export function stateOfBytes(bytes: Uint8Array): unknown {
  const reader = new CopyingDeserializer(bytes);
  reader.readHeader();
  return reader.readValue();
}

class CopyingDeserializer extends DefaultDeserializer {
  // Node's own one makes views where alignment allows it.
  _readHostObject(): unknown {
    const { _readHostObject: read } = DefaultDeserializer.prototype as unknown as { _readHostObject(this: DefaultDeserializer): ArrayBufferView };
    const view = read.call(this);
    return view instanceof Uint8Array ? new Uint8Array(view) : view;
  }
}
