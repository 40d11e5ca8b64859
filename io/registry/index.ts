/** The door of the schema registry: `registry({ url })`, for the codecs `avro`, `json` and `protobuf`. */

export { type RegisteredVersion, Registry, type RegistryOptions, registry } from './registry.ts';
