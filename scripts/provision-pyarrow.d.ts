export type PyarrowFound = { readonly python: string; readonly missing?: undefined } | { readonly python?: undefined; readonly missing: string };
export function findPyarrow(): PyarrowFound;
export function provisionPyarrow(): PyarrowFound;
