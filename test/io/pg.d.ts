/** As much of the client `pg` as tests use; it brings no types. */
declare module 'pg' {
  interface Client {
    connect(): Promise<unknown>;
    query(text: string, values?: readonly unknown[]): Promise<{ rows: Record<string, unknown>[] }>;
    end(): Promise<void>;
    on(event: 'error', listener: (error: Error) => void): void;
  }
  const pg: { readonly Client: new (options: object | string) => Client };
  export default pg;
}
