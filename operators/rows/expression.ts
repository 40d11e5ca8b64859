/**
 * Emits a user-defined expression over columns: the same operators in the same order, so that JavaScript
 * itself gives the semantics. Three changes cannot be observed: numbers that may be null are read as numbers
 * where ToNumber is applied anyway, texts are compared with literals as bytes, and i64 values with literals
 * as halves.
 *
 * Anything that is not listed here or in builtins.ts throws NotEmittable; the caller then keeps the closure. `Math`,
 * `undefined`, `NaN`, `Infinity` and `Number` are assumed to be the globals.
 */

import type { Expression, Node } from 'acorn';
import { MATH_CONSTANTS, MATH_FUNCTIONS, NUMBER_TESTS, STRING_METHODS } from './builtins.ts';
import { equalInPlace, textInPlace } from './in-place.ts';
import { type ExpressionBody, memberPath, propertyName } from './parse.ts';
import {
  BIGINT,
  BOOLEAN,
  conditionText,
  mayBeNull,
  NULL,
  NUMBER,
  NUMERIC,
  OBJECT,
  type Slot,
  STRING,
  slotMask,
  toNumberText,
  UNDEFINED,
  validText,
  valueText,
} from './slots.ts';
import { numberText, type Source } from './source.ts';
import { bigOrNumber, bits, condition, conditional, halvesCompared, isWithin, NotEmittable, NULL_TERM, refuseObject, type Term, toNumber } from './term.ts';

export class ExpressionEmitter {
  readonly #source: Source;
  readonly #body: ExpressionBody;
  readonly #slotOf: (path: readonly string[] | string) => Slot | undefined;
  readonly #locals = new Map<string, Term>();

  constructor(source: Source, body: ExpressionBody, slotOf: (path: readonly string[] | string) => Slot | undefined) {
    this.#source = source;
    this.#body = body;
    this.#slotOf = slotOf;
  }

  /** Emits a `const` of the body. Later terms refer to it by `id`. */
  bindLocal(name: string, id: string, term: Term): void {
    // A local that only names a column stands for the column, and a literal for itself.
    const isAlias = term.slot !== undefined || term.literal !== undefined;
    this.#locals.set(name, isAlias ? term : { text: id, mask: term.mask, throws: false });
  }

  /** @throws NotEmittable */
  term(node: Node): Term {
    const e = node as Expression;
    switch (e.type) {
      case 'Literal':
        return this.#literal(e.value, (e as { bigint?: string }).bigint);
      case 'Identifier':
        return this.#identifier(e.name);
      case 'MemberExpression':
      case 'CallExpression':
        return this.#access(e, false);
      case 'ChainExpression':
        return this.#access(e.expression, true);
      case 'UnaryExpression':
        return this.#unary(e.operator, this.term(e.argument));
      case 'BinaryExpression':
        if (e.left.type === 'PrivateIdentifier') throw new NotEmittable();
        return this.#binary(e.operator, this.term(e.left), this.term(e.right));
      case 'LogicalExpression':
        return this.#logical(e.operator, this.term(e.left), this.term(e.right));
      case 'ConditionalExpression':
        return conditional(this.term(e.test), this.term(e.consequent), this.term(e.alternate));
      case 'TemplateLiteral':
        return this.#template(
          e.quasis.map((quasi) => quasi.value.cooked ?? ''),
          e.expressions.map((part) => this.term(part)),
        );
      default:
        throw new NotEmittable();
    }
  }

  #literal(value: unknown, bigint: string | undefined): Term {
    const literal = { value };
    if (bigint !== undefined && typeof value === 'bigint') return { text: value < 0n ? `(-${-value}n)` : `${value}n`, mask: BIGINT, throws: false, literal };
    if (value === null) return NULL_TERM;
    if (typeof value === 'number') return { text: numberText(this.#source, value), mask: NUMBER, throws: false, literal };
    if (typeof value === 'boolean') return { text: String(value), mask: BOOLEAN, throws: false, literal };
    if (typeof value === 'string') return { text: this.#source.constant(value), mask: STRING, throws: false, literal };
    throw new NotEmittable();
  }

  #identifier(name: string): Term {
    const local = this.#locals.get(name);
    if (local) return local;
    const column = this.#body.columns.get(name);
    if (column !== undefined) return this.#column(this.#body.isColumn ? column : [column]);
    if (name === this.#body.row || this.#body.locals.some((other) => other.name === name)) throw new NotEmittable();
    if (name === 'undefined') return { text: '(void 0)', mask: UNDEFINED, throws: false, number: '(0/0)', literal: { value: undefined } };
    if (name === 'NaN') return this.#literal(Number.NaN, undefined);
    if (name === 'Infinity') return this.#literal(Number.POSITIVE_INFINITY, undefined);
    throw new NotEmittable();
  }

  /** @param path names on the way from the row, or the whole name of a column */
  #column(path: readonly string[] | string): Term {
    const slot = this.#slotOf(path);
    if (slot === undefined) throw new NotEmittable();
    const source = this.#source;
    const mask = slotMask(slot);
    // The forms are made on demand: making one requests its loads, which are removed again when nothing uses
    // them.
    return {
      get text() {
        return valueText(source, slot);
      },
      get number() {
        return toNumberText(source, slot);
      },
      get condition() {
        return conditionText(source, slot);
      },
      mask,
      throws: false,
      slot,
    };
  }

  /** `row.column`, `text.length`, `text.method(...)`, `Math.x`, and the same behind `?.`. */
  #access(node: Node, isChain: boolean): Term {
    const call = node.type === 'CallExpression' ? (node as Expression & { type: 'CallExpression' }) : undefined;
    const member = (call ? call.callee : node) as Node & { object: Node; property: Node; computed: boolean; optional: boolean };
    if (member.type !== 'MemberExpression' || call?.optional) throw new NotEmittable();
    const name = propertyName(member.property, member.computed);
    if (name === undefined) throw new NotEmittable();
    const object = member.object as Node & { name?: string };
    if (object.type === 'Identifier' && !this.#isBound(object.name as string)) {
      if (object.name === this.#body.row) {
        if (call) throw new NotEmittable();
        return this.#column([name]);
      }
      if (object.name === 'Math' && !member.optional) return this.#math(name, call?.arguments);
      if (object.name === 'Number' && !member.optional && call && NUMBER_TESTS.has(name)) {
        const [argument, ...more] = this.#terms(call.arguments);
        if (argument === undefined || more.length > 0) throw new NotEmittable();
        return { text: `Number.${name}(${argument.text})`, mask: BOOLEAN, throws: false };
      }
    }
    const inStruct = call ? undefined : this.#structMember(member);
    return inStruct ?? this.#text(this.term(member.object), name, call?.arguments, isChain && member.optional);
  }

  /** `row.user.id`: a struct is never null, so that `?.` is a dot. */
  #structMember(node: Node): Term | undefined {
    const { row } = this.#body;
    if (row === undefined || this.#isBound(row)) return undefined;
    const path = memberPath(node, row);
    return path === undefined || this.#slotOf(path) === undefined ? undefined : this.#column(path);
  }

  #isBound(name: string): boolean {
    return this.#body.columns.has(name) || this.#body.locals.some((local) => local.name === name);
  }

  #terms(nodes: readonly Node[]): Term[] {
    return nodes.map((node) => this.term(node));
  }

  #math(name: string, nodes: readonly Node[] | undefined): Term {
    const constant = MATH_CONSTANTS.get(name);
    if (nodes === undefined && constant !== undefined) return this.#literal(constant, undefined);
    if (nodes === undefined || !MATH_FUNCTIONS.has(name)) throw new NotEmittable();
    const terms = this.#terms(nodes);
    const isNumeric = terms.every((term) => isWithin(term.mask, NUMERIC));
    if (!isNumeric && terms.some((term) => (term.mask & OBJECT) !== 0)) throw new NotEmittable();
    return {
      text: `Math.${name}(${terms.map((term) => (isNumeric ? toNumber(term) : term.text)).join(',')})`,
      mask: NUMBER,
      throws: terms.some((term) => term.throws || (term.mask & BIGINT) !== 0),
    };
  }

  #text(object: Term, name: string, nodes: readonly Node[] | undefined, isOptional: boolean): Term {
    const result = nodes === undefined ? (name === 'length' ? NUMBER : 0) : (STRING_METHODS.get(name) ?? 0);
    if (result === 0 || !isWithin(object.mask, STRING | NULL | UNDEFINED) || (object.mask & STRING) === 0) throw new NotEmittable();
    const args = this.#terms(nodes ?? []);
    if (args.some((term) => (term.mask & OBJECT) !== 0)) throw new NotEmittable();
    const mayMiss = (object.mask & (NULL | UNDEFINED)) !== 0;
    const mask = isOptional && mayMiss ? result | UNDEFINED : result;
    const throws =
      object.throws || (mayMiss && !isOptional) || args.some((term) => term.throws) || (nodes !== undefined && args.some((term) => (term.mask & BIGINT) !== 0));
    const suffix = `.${name}${nodes === undefined ? '' : `(${args.map((term) => term.text).join(',')})`}`;
    const fast = textInPlace(this.#source, object, name, args, nodes !== undefined);
    if (fast !== undefined) {
      const { slot } = object as { slot: Slot & { at: 'input' } };
      const miss = isOptional ? '(void 0)' : `(null)${suffix}`;
      const text = mayMiss ? `(${validText(this.#source, slot.column)}===1?${fast}:${miss})` : fast;
      return { text, mask, throws };
    }
    // The receiver is never a number literal, so no digit meets the dot.
    return { text: isOptional ? `(${object.text}?${suffix})` : `${object.text}${suffix}`, mask, throws };
  }

  #unary(operator: string, a: Term): Term {
    const { throws } = a;
    switch (operator) {
      case '!':
        return { text: `(!${condition(a)})`, mask: BOOLEAN, throws };
      case 'typeof':
        return { text: `(typeof ${a.text})`, mask: STRING, throws };
      case 'void':
        return { text: `(void ${a.text})`, mask: UNDEFINED, throws };
    }
    const known = a.literal?.value;
    if (operator === '-' && (typeof known === 'number' || typeof known === 'bigint')) return this.#literal(-known, '');
    refuseObject(a);
    const isNumeric = isWithin(a.mask, NUMERIC);
    const hasBigint = (a.mask & BIGINT) !== 0;
    switch (operator) {
      case '+':
        return { text: `(+${isNumeric ? toNumber(a) : a.text})`, mask: NUMBER, throws: throws || hasBigint };
      case '-':
      case '~':
        return { text: `(${operator}${isNumeric ? toNumber(a) : a.text})`, mask: bigOrNumber(a), throws: throws || hasBigint };
      default:
        throw new NotEmittable();
    }
  }

  #binary(operator: string, a: Term, b: Term): Term {
    const isEquality = /^[!=]==?$/.test(operator);
    // Whether bytes are null is known without making them. All else that they do as objects is left to the
    // closure.
    if (!isEquality || (a.literal?.value !== null && b.literal?.value !== null)) refuseObject(a, b);
    const throws = a.throws || b.throws;
    const isNumeric = isWithin(a.mask | b.mask, NUMERIC);
    const plain = `(${a.text}${operator}${b.text})`;
    const numeric = () => `(${toNumber(a)}${operator}${toNumber(b)})`;
    const hasBigint = ((a.mask | b.mask) & BIGINT) !== 0;
    switch (operator) {
      case '+': {
        if (isNumeric) return { text: numeric(), mask: NUMBER, throws };
        if (isWithin(a.mask, STRING) || isWithin(b.mask, STRING)) return { text: plain, mask: STRING, throws };
        const mayBeText = ((a.mask | b.mask) & STRING) !== 0;
        return { text: plain, mask: bigOrNumber(a, b) | (mayBeText ? STRING : 0), throws: throws || hasBigint };
      }
      case '-':
      case '*':
      case '/':
      case '%':
      case '**':
      case '&':
      case '|':
      case '^':
      case '<<':
      case '>>':
        return { text: isNumeric ? numeric() : plain, mask: bigOrNumber(a, b), throws: throws || hasBigint };
      case '>>>':
        return { text: isNumeric ? numeric() : plain, mask: NUMBER, throws: throws || hasBigint };
      case '<':
      case '>':
      case '<=':
      case '>=': {
        const inHalves = halvesCompared(this.#source, operator, a, b);
        return { text: inHalves ?? (isNumeric ? numeric() : plain), mask: BOOLEAN, throws };
      }
      case '===':
      case '!==':
      case '==':
      case '!=':
        return { text: equalInPlace(this.#source, operator, a, b) ?? plain, mask: BOOLEAN, throws };
      default:
        throw new NotEmittable();
    }
  }

  #logical(operator: string, a: Term, b: Term): Term {
    const throws = a.throws || b.throws;
    const text = `(${a.text}${operator}${b.text})`;
    const mask = operator === '&&' ? a.mask | b.mask : (a.mask & ~(NULL | UNDEFINED)) | b.mask;
    if (operator !== '??') {
      const [left, right] = [bits(a), bits(b)];
      const flat = left !== undefined && right !== undefined ? { bits: `(${left}${operator[0]}${right})` } : {};
      return { text, mask, throws, condition: `(${condition(a)}${operator}${condition(b)})`, ...flat };
    }
    if (a.slot?.at === 'input' && mayBeNull(a.slot) && slotMask(a.slot) & NUMBER && isWithin(b.mask, NUMERIC)) {
      const valid = validText(this.#source, a.slot.column);
      const raw = toNumberText(this.#source, a.slot);
      return { text: `(${valid}===1?${raw}:${b.text})`, number: `(${valid}===1?${raw}:${toNumber(b)})`, mask, throws };
    }
    return { text, mask, throws };
  }

  #template(texts: readonly string[], terms: readonly Term[]): Term {
    refuseObject(...terms);
    let text = this.#source.constant(texts[0]);
    terms.forEach((term, at) => {
      text += `+${term.text}`;
      const next = texts[at + 1] as string;
      if (next !== '') text += `+${this.#source.constant(next)}`;
    });
    return { text: `(${text})`, mask: STRING, throws: terms.some((term) => term.throws) };
  }
}
