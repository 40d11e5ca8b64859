/**
 * Plans one run of row operations (filter, map, select, at most one flatMap at its end): which columns it
 * reads, which it passes on untouched, and the text of its loop. Nothing here sees a row.
 *
 *   input batch --loop--> origins (the rows that stay) + computed columns --gather--> output batch
 *
 * A column that passes through is not written by the loop. It is gathered by the rows that stayed or, when
 * all stayed, taken as it is. In the interpreted form the same steps call the user-defined functions row by
 * row (interpret.ts).
 */

import { assert, type DataType, type Field, kindText, pathOf, Schema, SIGN, shown } from '../../core/index.ts';
import { columnFunction, type ParsedColumn, parseColumn } from './column-value.ts';
import { ExpressionEmitter } from './expression.ts';
import { loadedColumns, loopText, type Output } from './loop.ts';
import type { LoopPlan, OperationNote, PlanMode, Step } from './loop-plan.ts';
import { type ColumnValue, type LoopOperation, schemaAfter } from './operation.ts';
import { fitText, resultText, storeText } from './output.ts';
import { columnsRead, type ExpressionBody, type ParsedFunction, parseRowFunction, propertyName, type RowFunction } from './parse.ts';
import { Selection } from './selection.ts';
import { ANY, isNullText, mayBeNull, NULL, type RowPart, rowText, type Slot, UNDEFINED } from './slots.ts';
import { Source } from './source.ts';
import { condition, conditional, NotEmittable, NULL_TERM, type Term } from './term.ts';

/**
 * @param first number of the first operation in the pipeline's chain, from 1: for messages
 * @param needed output columns that are read downstream
 */
export function planLoop(input: Schema, operations: readonly LoopOperation[], first: number, needed: readonly number[] | 'all', mode: PlanMode): LoopPlan {
  const planner = new LoopPlanner(input, mode);
  operations.forEach((operation, at) => planner.add(operation, first + at));
  return planner.finish(needed);
}

/** An operation with one user-defined function. */
type FunctionOperation = Exclude<LoopOperation, { kind: 'select' | 'rename' | 'withColumns' }>;

class LoopPlanner {
  readonly #input: Schema;
  readonly #mode: PlanMode;
  readonly #source = new Source();
  readonly #selection = new Selection(this.#source);
  /** Only filters and selects so far, all of them in the selection. */
  #isHead = true;
  readonly #steps: Step[] = [];
  readonly #notes: OperationNote[] = [];
  /** Columns that the interpreted steps read. */
  readonly #stepColumns = new Set<number>();
  #schema: Schema;
  #slots: readonly Slot[];
  #expands = false;

  constructor(input: Schema, mode: PlanMode) {
    this.#input = input;
    this.#mode = mode;
    this.#schema = input;
    this.#slots = input.fields.map((field, column) => ({ at: 'input', column, field }));
  }

  add(operation: LoopOperation, number: number): void {
    assert(!this.#expands, 'an operation behind a flatMap in one loop');
    const before = this.#schema;
    if (operation.kind === 'select') {
      this.#slots = operation.columns.map((name) => this.#slots[before.require(name, 'select')] as Slot);
      this.#schema = before.select(operation.columns, 'select');
      this.#notes.push({ kind: 'select', how: '', reads: operation.columns.join(', ') || '(no columns)' });
      return;
    }
    if (operation.kind === 'rename') {
      this.#schema = schemaAfter(before, operation);
      this.#notes.push({ kind: 'rename', how: '', reads: [...operation.names].map(([from, to]) => `${from} to ${to}`).join(', ') });
      return;
    }
    const slots = this.#slots;
    if (operation.kind === 'withColumns') this.#columns(operation, number);
    else this.#function(operation, number);
    if (operation.kind === 'keyBy' || operation.kind === 'withColumns') this.#keep(before, slots, schemaAfter(before, operation));
  }

  /** A function for each column. Each sees the row as it was before all of them. */
  #columns({ schema, values }: LoopOperation & { kind: 'withColumns' }, number: number): void {
    const before = this.#schema;
    const slots = this.#slots;
    const made = schema.fields.map((field, c): Slot => {
      this.#schema = before;
      this.#slots = slots;
      this.#column(field, values[c] as ColumnValue, number);
      return this.#slots[0] as Slot;
    });
    const notes = this.#notes.splice(this.#notes.length - values.length);
    const how = [...new Set(notes.map((note) => note.how))].join(', ');
    const reads = [...new Set(notes.flatMap((note) => note.reads.split(', ')))].join(', ');
    this.#notes.push({ kind: 'withColumns', how, reads });
    this.#schema = schema;
    this.#slots = made;
  }

  /** Columns that an operation left as they were, together with those that it made. */
  #keep(before: Schema, slots: readonly Slot[], widened: Schema): void {
    const added = this.#schema;
    const made = this.#slots;
    this.#slots = widened.fields.map(({ name }) => made[added.indexOf(name)] ?? (slots[before.indexOf(name)] as Slot));
    this.#schema = widened;
  }

  #column(field: Field, value: ColumnValue, number: number): void {
    const before = this.#schema;
    const schema = new Schema([field]);
    const parsed = parseColumn(value, `withColumns #${number}`);
    const isEmitted = this.#mode.generate && this.#mode.expressions && this.#tryColumn(schema, parsed, number);
    this.#isHead = false;
    if (isEmitted) this.#notes.push({ kind: 'withColumns', how: 'expression over', reads: columnList(parsed, before) });
    else {
      const row = this.#rowParts(parsed);
      this.#notes.push(this.#closureNote('withColumns', parsed, row));
      this.#map(columnFunction(field, value, before), number, row, schema);
    }
  }

  #tryColumn(schema: Schema, { body, where }: ParsedColumn, number: number): boolean {
    return (
      body !== undefined &&
      this.#emittable(() => {
        const { emitter, declarations } = this.#emitterOf(body);
        const value = emitter.term(body.result);
        const term = where === undefined ? value : conditional(this.#emitterOf(where).emitter.term(where.result), value, NULL_TERM);
        this.#declareAll(number, declarations);
        this.#mapTerms(number, schema, new Map([[schema.field(0).name, term]]));
        return true;
      })
    );
  }

  #closureNote(kind: OperationNote['kind'], parsed: Pick<ParsedFunction, 'reads'>, row: readonly RowPart[]): OperationNote {
    const { length } = this.#schema;
    const readsAll = row.length === length && row.length > 0 && parsed.reads === 'all';
    return {
      kind,
      how: this.#mode.generate ? 'closure reading' : 'interpreted closure reading',
      reads: readsAll ? 'every column' : nameList(row.map((part) => part.field.name)),
    };
  }

  /** An operation with a user-defined function. */
  #function(operation: FunctionOperation, number: number): void {
    const before = this.#schema;
    const parsed = parseRowFunction(operation.fn as RowFunction, `${operation.kind} #${number}`);
    const mayEmit = operation.kind !== 'flatMap' && this.#mode.generate && this.#mode.expressions;
    if (mayEmit && this.#isHead && operation.kind === 'filter' && this.#trySelect(number, parsed)) {
      this.#notes.push({ kind: 'filter', how: 'expression over', reads: columnList(parsed, before) });
      return;
    }
    if (mayEmit && this.#tryExpression(operation, number, parsed)) {
      this.#isHead = false;
      this.#notes.push({ kind: operation.kind, how: 'expression over', reads: columnList(parsed, before) });
      return;
    }
    const row = this.#rowParts(parsed, operation.kind === 'flatMap' && operation.seesSign === true);
    this.#notes.push(this.#closureNote(operation.kind, parsed, row));
    if (this.#isHead && operation.kind === 'filter' && this.#mode.generate && this.#selection.tryClosure(number, operation.fn as RowFunction, row)) return;
    this.#isHead = false;
    if (operation.kind === 'filter') this.#filter(operation.fn, number, row);
    else if (operation.kind === 'flatMap') this.#flatMap(operation.fn as RowFunction, number, row, operation.schema);
    else this.#map(operation.fn as RowFunction, number, row, operation.schema);
  }

  /** @param seesSign whether a row has the hidden column of changes */
  #rowParts(parsed: Pick<ParsedFunction, 'reads'>, seesSign = false): RowPart[] {
    const { fields } = this.#schema;
    // A name that is no column may be inherited and look at the whole row (toString): then all columns are
    // provided.
    const reads = columnsRead(parsed.reads, this.#schema);
    const parts: RowPart[] = [];
    fields.forEach((field, c) => {
      if (reads === 'all' ? seesSign || field.name !== SIGN : reads.has(field.name)) parts.push({ field, slot: this.#slots[c] as Slot });
    });
    for (const { slot } of parts) if (slot.at === 'input') this.#stepColumns.add(slot.column);
    return parts;
  }

  /**
   * Emits a filter at the head of the chain as part of the selection; false when it belongs in the main loop.
   */
  #trySelect(number: number, { body }: ParsedFunction): boolean {
    if (body === undefined || body.locals.length > 0) return false;
    try {
      return this.#selection.tryTerm(number, new ExpressionEmitter(this.#selection.source, body, (path) => this.#slotAt(path)).term(body.result));
    } catch (error) {
      if (error instanceof NotEmittable) return false;
      throw error;
    }
  }

  /** Emits the operation as an expression; false when that cannot be done exactly. */
  #tryExpression(operation: FunctionOperation, number: number, { body }: ParsedFunction): boolean {
    if (body === undefined) return false;
    const source = this.#source;
    return this.#emittable(() => {
      const { emitter, declarations } = this.#emitterOf(body);
      if (operation.kind === 'filter') {
        const term = emitter.term(body.result);
        this.#declareAll(number, declarations);
        this.#mark(number, term.throws);
        source.effect(`if(!${condition(term)})continue;`);
      } else if (operation.kind === 'map' || operation.kind === 'keyBy') {
        const object = body.result;
        if (object.type !== 'ObjectExpression') return false;
        const terms = new Map<string, Term>();
        for (const property of object.properties) {
          const name = property.type === 'Property' && property.kind === 'init' && !property.method ? propertyName(property.key, property.computed) : undefined;
          if (property.type !== 'Property' || name === undefined || terms.has(name) || (name === '__proto__' && !property.shorthand && !property.computed))
            return false;
          terms.set(name, emitter.term(property.value));
        }
        if (operation.schema.fields.some(({ name, type }) => type.nested || !terms.has(name))) return false;
        this.#declareAll(number, declarations);
        this.#mapTerms(number, operation.schema, terms);
      }
      return true;
    });
  }

  /** The column that is so many names away from the row; of one name in a list of its own, with that name. */
  #slotAt(path: readonly string[] | string): Slot | undefined {
    if (typeof path === 'string') return this.#slots[this.#schema.indexOf(path)];
    const c = this.#schema.indexOf(path.join('.'));
    // `row['user.id']` is not `row.user.id`.
    return c >= 0 && pathOf(this.#schema.field(c)).length === path.length ? this.#slots[c] : undefined;
  }

  /** An emitter of a function's expression, and what is to be declared before it. */
  #emitterOf(body: ExpressionBody): { readonly emitter: ExpressionEmitter; readonly declarations: [id: string, term: Term][] } {
    const emitter = new ExpressionEmitter(this.#source, body, (path) => this.#slotAt(path));
    const declarations: [id: string, term: Term][] = [];
    for (const { name, value } of body.locals) {
      const term = emitter.term(value);
      const id = this.#source.local('v');
      emitter.bindLocal(name, id, term);
      if (term.slot === undefined && term.literal === undefined) declarations.push([id, term]);
    }
    return { emitter, declarations };
  }

  #emittable(emit: () => boolean): boolean {
    try {
      return emit();
    } catch (error) {
      if (error instanceof NotEmittable) return false;
      throw error;
    }
  }

  #declareAll(number: number, declarations: readonly [string, Term][]): void {
    for (const [id, term] of declarations) {
      this.#mark(number, term.throws);
      const text = `const ${id}=${term.text};`;
      if (term.throws) this.#source.effect(text, id);
      else this.#source.declare(id, text);
    }
  }

  #mapTerms(number: number, schema: Schema, terms: ReadonlyMap<string, Term>): void {
    const computed = new Map<string, string>();
    const declarations: [string, Term][] = [];
    for (const [name, term] of terms) {
      const field = schema.fields[schema.indexOf(name)];
      if (term.slot !== undefined && (field === undefined || isHeldBy(field.type, term.slot.field.type))) continue;
      const id = this.#source.local('v');
      computed.set(name, id);
      declarations.push([id, term]);
    }
    this.#declareAll(number, declarations);
    this.#slots = schema.fields.map((field): Slot => {
      const term = terms.get(field.name) as Term;
      const id = computed.get(field.name);
      if (id !== undefined) return this.#fit(number, field, id, term.mask);
      const slot = term.slot as Slot;
      if (mayBeNull(slot) && !field.type.nullable) {
        this.#mark(number, true);
        this.#source.effect(`if(${isNullText(this.#source, slot)})h7(${this.#source.constant(field)},null);`);
      }
      return slot.at === 'input' ? { ...slot, field } : { ...slot, field, mayBeNull: slot.mayBeNull && field.type.nullable };
    });
    this.#schema = schema;
  }

  #fit(number: number, field: Field, id: string, mask: number): Slot {
    const fits = this.#source.local('r');
    const { text, mayFail } = fitText(this.#source, field, id, fits, mask);
    this.#mark(number, mayFail);
    if (mayFail) this.#source.effect(text, fits);
    else this.#source.declare(fits, text);
    return { at: 'local', id: fits, field, mayBeNull: field.type.nullable && (mask & (NULL | UNDEFINED)) !== 0 };
  }

  /** Records which operation runs, for error messages. */
  #mark(number: number, throws: boolean): void {
    if (throws) this.#source.effect(`z0=${number};`);
  }

  #filter(fn: RowFunction, operation: number, row: readonly RowPart[]): void {
    if (!this.#mode.generate) {
      this.#steps.push({ kind: 'filter', operation, fn, row });
      return;
    }
    const p = this.#source.local('p');
    this.#mark(operation, true);
    this.#source.effect(`const ${p}=${this.#source.constant(fn)}(${rowText(this.#source, row)});if(!${p})continue;if(${p}!==true)h6(${p});`, p);
  }

  #map(fn: RowFunction, operation: number, row: readonly RowPart[], schema: Schema): void {
    const source = this.#source;
    if (!this.#mode.generate) {
      const slots = schema.fields.map((field): Slot & { at: 'local' } => ({ at: 'local', id: source.local('r'), field, mayBeNull: field.type.nullable }));
      this.#steps.push({ kind: 'map', operation, fn, row, results: slots.map(({ field, id }) => ({ field, id })) });
      this.#slots = slots;
    } else {
      const p = source.local('p');
      this.#mark(operation, true);
      // A promise would pass for a row of nulls.
      const refusePromise = schema.fields.every((field) => field.type.nullable) ? `h6(${p});` : '';
      source.effect(`const ${p}=${source.constant(fn)}(${rowText(this.#source, row)});if(typeof ${p}!=="object"||${p}===null)h5(${p});${refusePromise}`, p);
      this.#slots = this.#results(operation, p, schema);
    }
    this.#schema = schema;
  }

  #results(operation: number, p: string, schema: Schema): Slot[] {
    const source = this.#source;
    const values = schema.fields.map((field) => {
      const id = source.local('v');
      source.effect(`const ${id}=${resultText(source, p, field)};`, id);
      return id;
    });
    return schema.fields.map((field, c) => this.#fit(operation, field, values[c] as string, ANY));
  }

  #flatMap(fn: RowFunction, operation: number, row: readonly RowPart[], schema: Schema): void {
    this.#expands = true;
    this.#steps.push({ kind: 'flatMap', operation, fn, row, fields: schema.fields });
    if (this.#mode.generate) {
      this.#mark(operation, true);
      this.#source.effect(`st0[1]=i0;st0[4]=1;h16(${this.#source.constant(fn)}(${rowText(this.#source, row)},em0),em0);st0[4]=0;if(st0[2]!==0){at0++;break;}`);
    }
    this.#schema = schema;
    this.#slots = schema.fields.map((field, c) => ({ at: 'local', id: `r${c}`, field, mayBeNull: field.type.nullable }));
  }

  finish(needed: readonly number[] | 'all'): LoopPlan {
    const written: Field[] = [];
    const outputs = this.#slots.map((slot, c): Output => {
      if (needed !== 'all' && !needed.includes(c)) return { from: 'nowhere' };
      const place = written.length;
      written.push(this.#schema.field(c));
      return slot.at === 'input' ? { from: 'input', column: slot.column, place } : { from: 'loop', place, id: slot.id, mayBeNull: slot.mayBeNull };
    });
    const { generate } = this.#mode;
    const stores = outputs.flatMap((output, c) =>
      output.from === 'loop' && !this.#expands ? [storeText(this.#schema.field(c), output.place, output.id, output.mayBeNull)] : [],
    );
    const selection = this.#selection.finish();
    const body = this.#source.finish(stores);
    const loaded = generate ? loadedColumns(this.#input, new Set([...body.uses, ...(selection?.uses ?? [])])) : [...this.#stepColumns];
    const gathered = outputs.flatMap((output) => (output.from === 'input' ? [output.column] : []));
    const hasLoop = this.#expands || stores.length > 0 || this.#steps.length > 0 || body.lines.length > 0 || selection !== undefined;
    const text = {
      input: this.#input,
      output: this.#schema,
      source: this.#source,
      selection,
      body,
      stores,
      outputs,
      expands: this.#expands,
      isWatched: this.#mode.watched,
    };
    return {
      kind: 'loop',
      outputSchema: this.#schema,
      columnsRead: [...new Set([...loaded, ...gathered])].sort((a, b) => a - b),
      outputs,
      written: new Schema(written),
      expands: this.#expands,
      hasLoop,
      steps: this.#steps,
      code: hasLoop && generate ? { text: loopText(text), constants: this.#source.constants } : undefined,
      notes: this.#notes,
      loaded,
    };
  }
}

/** Whether a column may have the values of another as they are, nulls aside. */
function isHeldBy(type: DataType, from: DataType): boolean {
  return kindText(type) === kindText(from) || (from.json === true && kindText(type) === 'utf8');
}

/** In the order of the schema, as a closure's are: what a plan is must not depend on how its functions are run. */
function columnList(parsed: Pick<ParsedFunction, 'reads'>, schema: Schema): string {
  const reads = columnsRead(parsed.reads, schema);
  return nameList(schema.fields.map((field) => field.name).filter((name) => reads === 'all' || reads.has(name)));
}

function nameList(names: readonly string[]): string {
  return names.map((name) => (/^[\w$.-]+$/.test(name) ? name : shown(name))).join(', ') || 'no column';
}
