/** Which columns a function of `map` hands on as they are, as far as its source shows. */

import { parseRowFunction, propertyName, type RowFunction } from './parse.ts';

/** New names by the columns that they are: `(r) => ({ id: r.user, n: r.n + 1 })` hands on `user` as `id`. */
export function carriedColumns(fn: RowFunction): ReadonlyMap<string, string> {
  const carried = new Map<string, string>();
  const { body } = parseRowFunction(fn, 'map');
  if (body?.result.type !== 'ObjectExpression') return carried;
  for (const property of body.result.properties) {
    // What is spread behind a column may replace it.
    if (property.type !== 'Property') return new Map();
    const to = propertyName(property.key, property.computed);
    const { value } = property;
    let from: string | undefined;
    if (value.type === 'Identifier') from = body.columns.get(value.name);
    else if (value.type === 'MemberExpression' && value.object.type === 'Identifier' && value.object.name === body.row && body.row !== undefined) {
      from = propertyName(value.property, value.computed);
    }
    if (from !== undefined && to !== undefined) carried.set(from, to);
  }
  return carried;
}
