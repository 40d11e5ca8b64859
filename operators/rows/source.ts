/**
 * The text of one generated loop as it is built: statements in order, the constants that it captures, and the
 * removal of what nothing uses.
 *
 * Generated text holds integers, identifiers of letters and digits that are made here, a fixed list of words
 * of the language, and operators. A name from a schema, a string or a fraction from a user-defined function
 * is a captured constant (`k3`). GENERATED_TOKEN is that grammar; the tests check every generated text
 * against it.
 */

/** Every token of a generated text matches this. */
export const GENERATED_TOKEN =
  /^(?:[a-z]{1,3}\d+|\d+n?|"(?:use strict|number|string|boolean|bigint|object)"|[-+*/%<>=!&|^~?:;,.(){}[\]]|let|const|return|function|for|if|else|continue|break|new|this|prototype|typeof|void|null|true|false|try|catch|throw|Math|Number|BigInt|asIntN|floor|ceil|round|trunc|abs|sign|sqrt|cbrt|min|max|pow|exp|log|log2|log10|log1p|expm1|hypot|fround|sin|cos|tan|asin|acos|atan|atan2|sinh|cosh|tanh|clz32|imul|isFinite|isInteger|isNaN|isSafeInteger|length|startsWith|endsWith|includes|toLowerCase|toUpperCase|trim|trimStart|trimEnd|slice|substring|charAt|charCodeAt|indexOf|lastIndexOf)$/;

/** Every identifier made here, and some words. */
export const IDENTIFIER = /\b[a-z]+\d+\b/g;

interface Statement {
  readonly text: string;
  /** The identifier that it declares. A statement that declares nothing, or may throw, is kept. */
  readonly declares: string | undefined;
  readonly stays: boolean;
}

export interface LoopBody {
  readonly lines: readonly string[];
  readonly uses: ReadonlySet<string>;
}

export class Source {
  readonly constants: unknown[];
  readonly #constantIds: Map<unknown, string>;
  readonly #statements: Statement[] = [];
  readonly #declared = new Set<string>();
  /** Declarations that are placed before the first statement that uses them. */
  readonly #onDemand = new Map<string, string>();
  /** Constructors of row objects, by the identifiers of their columns. */
  readonly #constructors: Map<string, string>;
  #nextLocal = 0;

  /** @param shared the source of the loop that this text is part of: both number their constants together */
  constructor(shared?: Source) {
    this.constants = shared === undefined ? [] : shared.constants;
    this.#constantIds = shared === undefined ? new Map() : shared.#constantIds;
    this.#constructors = shared === undefined ? new Map() : shared.#constructors;
  }

  /** The identifier of a captured constant. (-0 is not captured: it has a text.) */
  constant(value: unknown): string {
    let id = this.#constantIds.get(value);
    if (id === undefined) {
      id = `k${this.constants.length}`;
      this.constants.push(value);
      this.#constantIds.set(value, id);
    }
    return id;
  }

  /**
   * The identifier of a constructor that makes a plain object of values for these columns, in order. The
   * optimiser takes its objects apart again (escape analysis), as it does object literals. It does so for a
   * literal with computed keys, too, but not in every process: its type feedback is lost with a garbage
   * collection (measured: 2.4 ns per row, or 20 to 50).
   */
  rowConstructor(names: readonly string[]): string {
    const keys = names.map((name) => this.constant(name)).join();
    const id = this.#constructors.get(keys) ?? `cr${this.#constructors.size}`;
    this.#constructors.set(keys, id);
    return id;
  }

  constructorTexts(): string[] {
    return [...this.#constructors].map(([keys, id]) => {
      const list = keys === '' ? [] : keys.split(',');
      return `const ${id}=function(${list.map((_, n) => `p${n}`).join(',')}){${list.map((key, n) => `this[${key}]=p${n};`).join('')}};${id}.prototype=${this.constant(Object.prototype)};`;
    });
  }

  local(letter: 'v' | 'r' | 'p'): string {
    return `${letter}${this.#nextLocal++}`;
  }

  /** Says how `id` is declared when something uses it. */
  onDemand(id: string, text: string): string {
    this.#onDemand.set(id, text);
    return id;
  }

  /** Adds a statement that has an effect. It is kept, with all that it uses. */
  effect(text: string, declares?: string): void {
    this.#add({ text, declares, stays: true });
  }

  /** Adds a declaration without an effect. It is removed when nothing uses it. */
  declare(id: string, text: string): void {
    this.#add({ text, declares: id, stays: false });
  }

  #add(statement: Statement): void {
    this.#demand(statement.text, statement.declares);
    this.#statements.push(statement);
  }

  #demand(text: string, except: string | undefined): void {
    for (const [id] of text.matchAll(IDENTIFIER)) {
      const declaration = this.#onDemand.get(id);
      if (id === except || declaration === undefined || this.#declared.has(id)) continue;
      this.#declared.add(id);
      this.#demand(declaration, id);
      this.#statements.push({ text: declaration, declares: id, stays: false });
    }
  }

  /**
   * The statements that are kept, and every identifier in them.
   *
   * @param last text that comes after them; what it uses is kept
   */
  finish(last: readonly string[]): LoopBody {
    const lines: string[] = [];
    const uses = new Set<string>();
    for (const text of last) for (const [id] of text.matchAll(IDENTIFIER)) uses.add(id);
    for (const { text, declares, stays } of this.#statements.toReversed()) {
      if (!stays && !uses.has(declares as string)) continue;
      for (const [id] of text.matchAll(IDENTIFIER)) uses.add(id);
      lines.push(text);
    }
    return { lines: lines.reverse(), uses };
  }
}

/** A number as integers and division; a captured constant where that is not exact. */
export function numberText(source: Source, value: number): string {
  if (Object.is(value, -0)) return '(-0)';
  if (Number.isNaN(value)) return '(0/0)';
  if (value < 0) return `(-${numberText(source, -value)})`;
  if (value === Number.POSITIVE_INFINITY) return '(1/0)';
  if (Number.isInteger(value)) return BigInt(value).toString();
  let divisor = 1;
  while (divisor < 2 ** 70 && !Number.isSafeInteger(value * divisor)) divisor *= 2;
  return Number.isSafeInteger(value * divisor) ? `(${value * divisor}/${BigInt(divisor)})` : source.constant(value);
}
