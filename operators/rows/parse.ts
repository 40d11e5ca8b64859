/**
 * Reads the source of a user-defined row function: which columns it reads, and whether its body is an
 * expression that may be emitted (expression.ts). It does not run the function, and it does not look at
 * types.
 *
 * The columns are over-approximated. A name that an inner scope declares anew still counts. A row that is
 * used in any way other than `row.name` (passed on, spread, returned, `row[k]`) means every column. A struct
 * that is used in such a way means all of its columns.
 */

import { type Expression, type Function as FunctionNode, type Node, type ObjectPattern, type Pattern, parseExpressionAt } from 'acorn';
import { MillraceError, type Schema } from '../../core/index.ts';

export type RowFunction = (...values: never[]) => unknown;

/** The body of a function that is a pure expression as far as its shape shows. */
export interface ExpressionBody {
  /** The parameter that is the row, when it is a plain name. */
  readonly row: string | undefined;
  /** Names bound to columns by a destructuring pattern. */
  readonly columns: ReadonlyMap<string, string>;
  /** `const` declarations before the return, in order. */
  readonly locals: readonly { readonly name: string; readonly value: Expression }[];
  readonly result: Expression;
  /** The names in `columns` are whole names of columns, which no function of a user says. */
  readonly isColumn?: true;
}

export interface ParsedFunction {
  /** What is read of the row, in order of appearance, with all that is named behind it (`user.id`, `page.length`), or 'all'. */
  readonly reads: ReadonlySet<string> | 'all';
  readonly body: ExpressionBody | undefined;
}

const OPAQUE: ParsedFunction = { reads: 'all', body: undefined };

/**
 * @param operation names the operation, for the message
 * @throws MillraceError ERR_MILLRACE_PIPELINE when it is not a function, or is an async or generator function
 */
export function parseRowFunction(fn: RowFunction, operation: string): ParsedFunction {
  if (typeof fn !== 'function') throw new MillraceError('ERR_MILLRACE_PIPELINE', `${operation} needs a function of a row.`);
  const tag = Object.prototype.toString.call(fn);
  const node = functionNode(Function.prototype.toString.call(fn));
  const isGenerator = /Generator/.test(tag) || node?.generator === true;
  const isAsync = /^\[object Async/.test(tag) || node?.async === true;
  // What a flatMap returns may be any iterable.
  if (isAsync || (isGenerator && !operation.startsWith('flatMap'))) {
    throw new MillraceError(
      'ERR_MILLRACE_PIPELINE',
      `${operation} is given ${isGenerator ? 'a generator' : 'an async'} function. A row function runs to completion on each row: give a plain function, and do what must wait in a source or a sink.`,
    );
  }
  return node === undefined ? OPAQUE : analyse(node);
}

function functionNode(source: string): FunctionNode | undefined {
  // The source of a method (`keep(row) {...}`) is an expression only inside an object.
  for (const text of [`(${source}\n)`, `({${source}\n})`]) {
    try {
      const node = parseExpressionAt(text, 0, { ecmaVersion: 'latest' });
      if (node.type === 'ArrowFunctionExpression' || node.type === 'FunctionExpression') return node;
      const property = node.type === 'ObjectExpression' && node.properties.length === 1 ? node.properties[0] : undefined;
      if (property?.type === 'Property' && property.method && property.value.type === 'FunctionExpression') return property.value;
    } catch {
      // Native, bound and private methods have no source that parses.
    }
  }
  return undefined;
}

function analyse(node: FunctionNode): ParsedFunction {
  const parameter = node.params[0];
  if (parameter === undefined) {
    const isBlind = node.type === 'ArrowFunctionExpression' || !mentions(node.body, ['arguments', 'eval']);
    return { reads: isBlind ? new Set() : 'all', body: expressionBody(node, undefined, new Map()) };
  }
  const target = parameter.type === 'AssignmentPattern' ? parameter.left : parameter;
  const reads = new RowReads();
  let row: string | undefined;
  let columns: Map<string, string> | undefined = new Map();
  if (target.type === 'Identifier') row = target.name;
  else if (target.type === 'ObjectPattern') columns = reads.pattern(target);
  else return OPAQUE;
  if (mentions(node, ['arguments', 'eval'])) reads.all = true;
  reads.row = row;
  if (target.type === 'ObjectPattern') reads.visit(target);
  for (const other of node.params.slice(1)) reads.visit(other);
  if (parameter !== target) reads.visit((parameter as { right: Node }).right);
  reads.visit(node.body);
  const simple = node.params.length === 1 && parameter === target && columns !== undefined;
  return { reads: reads.all ? 'all' : reads.names, body: simple ? expressionBody(node, row, columns as Map<string, string>) : undefined };
}

/** Collects what is read of the row by walking the tree. */
class RowReads {
  readonly names = new Set<string>();
  row: string | undefined;
  all = false;

  /**
   * Local names by column of a destructuring pattern; undefined when the pattern does more than name columns.
   */
  pattern(pattern: ObjectPattern): Map<string, string> | undefined {
    const columns = new Map<string, string>();
    let isPlain = true;
    for (const property of pattern.properties) {
      const name = property.type === 'Property' ? propertyName(property.key, property.computed) : undefined;
      if (property.type !== 'Property' || name === undefined) {
        this.all = true;
        isPlain = false;
        continue;
      }
      this.names.add(name);
      // A column's value is never undefined, so a default is never taken.
      const value = property.value.type === 'AssignmentPattern' ? property.value.left : property.value;
      if (value.type === 'Identifier') columns.set(value.name, name);
      else isPlain = false;
    }
    return isPlain ? columns : undefined;
  }

  visit(node: Node): void {
    const any = node as Node & Record<string, unknown>;
    if (node.type === 'Identifier') {
      if (any.name === this.row) this.all = true;
      return;
    }
    if (node.type === 'WithStatement') this.all = true;
    if (node.type === 'MemberExpression') {
      const path = this.row === undefined ? undefined : memberPath(node, this.row);
      if (path !== undefined && path.length > 0) {
        this.names.add(path.join('.'));
        return;
      }
      if (this.#isRow(any.object)) {
        this.all = true;
        this.visit(any.property as Node);
        return;
      }
    }
    if (node.type === 'VariableDeclarator' && this.#isRow(any.init) && (any.id as Pattern).type === 'ObjectPattern') {
      this.pattern(any.id as ObjectPattern);
      this.visit(any.id as Node);
      return;
    }
    for (const key of Object.keys(any)) {
      if ((key === 'property' || key === 'key') && any.computed === false && any.shorthand !== true) continue;
      const child = any[key];
      if (Array.isArray(child)) for (const item of child) isNode(item) && this.visit(item);
      else if (isNode(child)) this.visit(child);
    }
  }

  #isRow(node: unknown): boolean {
    return this.row !== undefined && isNode(node) && node.type === 'Identifier' && (node as unknown as { name: string }).name === this.row;
  }
}

/** The names of `row.a.b`, in order; undefined when the expression is not of this form. `?.` counts as a dot. */
export function memberPath(node: Node, row: string): string[] | undefined {
  const path: string[] = [];
  let at = node as Node & { object: Node; property: Node; computed: boolean; expression: Node; name: string };
  for (;;) {
    if (at.type === 'ChainExpression') at = at.expression as typeof at;
    else if (at.type === 'MemberExpression') {
      const name = propertyName(at.property, at.computed);
      if (name === undefined) return undefined;
      path.unshift(name);
      at = at.object as typeof at;
    } else return at.type === 'Identifier' && at.name === row ? path : undefined;
  }
}

/** Columns that a function reads, in the order of the schema; 'all' where it names what is no column. */
export function columnsRead(reads: ParsedFunction['reads'], schema: Schema): ReadonlySet<string> | 'all' {
  if (reads === 'all') return 'all';
  const found = new Set<string>();
  for (const read of reads) {
    let isKnown = false;
    for (const { name, type } of schema.fields) {
      if (name !== read && !read.startsWith(`${name}.`) && !(type.nested && name.startsWith(`${read}.`))) continue;
      found.add(name);
      isKnown = true;
    }
    if (!isKnown) return 'all';
  }
  return found;
}

/** The name of a member or a property, where it is certain. */
export function propertyName(key: Node, computed: boolean): string | undefined {
  const any = key as Node & { name: string; value: unknown };
  if (!computed && key.type === 'Identifier') return any.name;
  if (key.type === 'Literal' && (typeof any.value === 'string' || typeof any.value === 'number')) return String(any.value);
  return undefined;
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string';
}

function mentions(node: Node, names: readonly string[]): boolean {
  if (node.type === 'Identifier') return names.includes((node as unknown as { name: string }).name);
  return Object.values(node).some((child) =>
    Array.isArray(child) ? child.some((item) => isNode(item) && mentions(item, names)) : isNode(child) && mentions(child, names),
  );
}

function expressionBody(node: FunctionNode, row: string | undefined, columns: Map<string, string>): ExpressionBody | undefined {
  if (node.body.type !== 'BlockStatement') return { row, columns, locals: [], result: node.body };
  const bound = new Map(columns);
  const locals: { name: string; value: Expression }[] = [];
  for (const statement of node.body.body) {
    if (statement.type === 'ExpressionStatement' && statement.directive !== undefined) continue;
    if (statement.type === 'ReturnStatement' && statement.argument) return { row, columns: bound, locals, result: statement.argument };
    if (statement.type !== 'VariableDeclaration' || statement.kind !== 'const') return undefined;
    for (const { id, init } of statement.declarations) {
      if (!init) return undefined;
      if (id.type === 'Identifier') locals.push({ name: id.name, value: init });
      else if (id.type === 'ObjectPattern' && init.type === 'Identifier' && init.name === row) {
        const names = new RowReads().pattern(id);
        if (names === undefined) return undefined;
        for (const [local, column] of names) bound.set(local, column);
      } else return undefined;
    }
  }
  return undefined;
}
