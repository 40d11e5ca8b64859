/** The type of a row, from a schema of Avro that the compiler knows: one that is written in the call. */

/** A schema of Avro, as JSON has it. */
export type AvroSchema =
  | string
  | readonly AvroSchema[]
  | { readonly type: AvroSchema | 'record' | 'enum' | 'fixed' | 'array' | 'map'; readonly [member: string]: unknown };

type Instant =
  | 'date'
  | 'timestamp-millis'
  | 'timestamp-micros'
  | 'timestamp-nanos'
  | 'local-timestamp-millis'
  | 'local-timestamp-micros'
  | 'local-timestamp-nanos';

type Primitive = {
  readonly null: null;
  readonly boolean: boolean;
  readonly int: number;
  readonly long: bigint;
  readonly float: number;
  readonly double: number;
  readonly bytes: Uint8Array;
  readonly string: string;
};

/** The value of a field in functions; unknown for what a name refers to. */
export type AvroValue<S> = S extends keyof Primitive
  ? Primitive[S]
  : S extends { readonly logicalType: Instant }
    ? number
    : S extends { readonly logicalType: 'decimal' | 'uuid' }
      ? string
      : S extends { readonly type: 'record'; readonly fields: readonly unknown[] }
        ? AvroRow<S>
        : S extends { readonly type: 'enum' }
          ? S extends { readonly symbols: readonly (infer V extends string)[] }
            ? V
            : string
          : S extends { readonly type: 'fixed' }
            ? Uint8Array
            : S extends { readonly type: 'array'; readonly items: infer I }
              ? readonly AvroValue<I>[]
              : S extends { readonly type: 'map' }
                ? string
                : S extends readonly unknown[]
                  ? Union<S>
                  : S extends { readonly type: infer T }
                    ? AvroValue<T>
                    : unknown;

/** A union with null is a value or null; one of several types is JSON text. */
type Union<S extends readonly unknown[]> = S extends readonly ['null', infer T] | readonly [infer T, 'null']
  ? Nulled<AvroValue<T>>
  : S extends readonly [infer T]
    ? AvroValue<T>
    : 'null' extends S[number]
      ? string | null
      : string;

/** A record that may be null is a struct of nulls then. */
type Nulled<V> = V extends readonly unknown[] | Uint8Array ? V | null : V extends object ? { readonly [K in keyof V]: Nulled<V[K]> } : V | null;

type FieldOf<S, K> = S extends { readonly fields: readonly (infer F)[] } ? Extract<F, { readonly name: K }> : never;

/** The row that functions see for a record. Of a schema that is only known when it is read: names and values of any kind. */
export type AvroRow<S> = S extends { readonly type: 'record'; readonly fields: readonly (infer F)[] }
  ? string extends (F extends { readonly name: infer N } ? N : string)
    ? Readonly<Record<string, unknown>>
    : {
        readonly [K in F extends { readonly name: infer N extends string } ? N : never]: FieldOf<S, K> extends { readonly type: infer T }
          ? AvroValue<T>
          : unknown;
      }
  : Readonly<Record<string, unknown>>;
