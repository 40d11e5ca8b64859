/**
 * The text around the statements of a generated loop: captured constants, addresses, the loop itself, and
 * what is known about it when a statement throws.
 *
 *   factory(memory, constants, helpers, state, addressesIn, addressesOut, origins, selection, atWork)
 *     -> [select(rowCount), compute(rowsSelected)], undefined where there is nothing to do
 *
 *   1. select   the filters at the head: the numbers of the rows that pass (selection.ts)
 *   2. compute  every row that is left: the other operations, the columns that they compute
 *
 * Either part starts at state.position and leaves its position there, with the number of rows written so far,
 * also when it throws. The caller reports the row, steps over it and calls again. A failing row costs one
 * call; a loop that never throws costs nothing extra.
 *
 * Where a function is called, the number of its row goes to a word of memory that other threads see: who watches
 * this one can name the row at which it does not come back. Expressions end, and cost nothing.
 *
 * Branch-free selection: Ross, "Selection conditions in main memory", TODS 29(1), 2004.
 */

import type { Field, Schema } from '../../core/index.ts';
import { fitText, resultText, storeText } from './output.ts';
import { ANY } from './slots.ts';
import { IDENTIFIER, type LoopBody, Source } from './source.ts';

/** What `h0`, `h1`, ... stand for in a generated text. program.ts passes them in this order. */
export const HELPERS = [
  'readText',
  'readBytes',
  'textLength',
  'bytesAt',
  'bytesWithin',
  'requireRow',
  'refusePromise',
  'refuseValue',
  'refuseLate',
  'nextBuilder',
  'writeText',
  'writeBinary',
  'ownValue',
  'wellFormed',
  'plainBytes',
  'isBytes',
  'emitReturned',
  'converted',
  'readList',
  'fitted',
  'writeList',
  'memberOf',
] as const;
export type HelperName = (typeof HELPERS)[number];

/**
 * Places in the state, an Int32Array. `row` is the input row whose flatMap runs, `selected` the number of
 * rows that part 1 left. The parts are two functions, because V8 may keep a function with two loops half
 * optimised (only the code for entering at one of the loops: seen as 4 to 60 times slower in one process of
 * five).
 */
export const STATE = { rowsOut: 0, row: 1, pending: 2, rowsOutBefore: 3, emitting: 4, operation: 5, capacity: 6, position: 7, selected: 8 } as const;

/** Numbers per column in the address lists: data, offsets, validity. */
export const ADDRESSES_A_COLUMN = 3;

/** Captured constants in a text. */
const CONSTANT = /\bk\d+\b/g;

const VIEWS = ['u8', 'i8', 'i16', 'i32', 'u32', 'f32', 'f64', 'i64'] as const;

/** Where an output column comes from. */
export type Output =
  | { readonly from: 'nowhere' }
  /** `place`: position among the columns that are written. */
  | { readonly from: 'input'; readonly column: number; readonly place: number }
  /** `id`: the local that holds the value of the current row. */
  | { readonly from: 'loop'; readonly place: number; readonly id: string; readonly mayBeNull: boolean };

export interface LoopParts {
  readonly input: Schema;
  readonly output: Schema;
  readonly source: Source;
  /** Part 1; undefined when there is nothing to select. */
  readonly selection: LoopBody | undefined;
  readonly body: LoopBody;
  readonly stores: readonly string[];
  readonly outputs: readonly Output[];
  readonly expands: boolean;
  readonly isWatched: boolean;
}

/** Input columns whose addresses are used. */
export function loadedColumns(input: Schema, uses: ReadonlySet<string>): number[] {
  return input.fields.flatMap((_, c) => (['d', 't', 'q', 'w'].some((base) => uses.has(`${base}${c}`)) ? [c] : []));
}

export function loopText({ input, output, source, selection, body, stores, outputs, expands, isWatched }: LoopParts): string {
  const isFunction = (id: string): boolean => typeof source.constants[Number(id.slice(1))] === 'function';
  const watched = (lines: readonly string[]): string => {
    const calls = lines.some((line) => line.match(CONSTANT)?.some(isFunction));
    return isWatched && calls ? 'wo0[0]=i0;' : '';
  };
  const emit = expands ? emitText(source, output, outputs) : '';
  const select =
    selection === undefined
      ? ['void 0,']
      : [
          'function(n0){',
          ...inputBases(input, selection.uses),
          'let i0=st0[7];let m0=st0[8];let z0=0;try{for(;i0<n0;i0++){',
          watched(selection.lines),
          ...selection.lines,
          '}st0[8]=m0;}catch(er0){st0[7]=i0;st0[8]=m0;st0[5]=z0;throw er0;}},',
        ];
  const save = expands ? 'st0[7]=at0;' : 'st0[0]=j0;st0[7]=at0;';
  const compute = [
    'function(m0){',
    ...inputBases(input, body.uses),
    ...(expands ? [] : outputBases(output, outputs)),
    expands ? 'let at0=st0[7];' : 'let at0=st0[7];let j0=st0[0];',
    'let z0=0;try{for(;at0<m0;at0++){',
    selection === undefined ? 'const i0=at0;' : 'const i0=se0[at0];',
    watched([...body.lines, ...stores]),
    expands ? 'st0[3]=st0[0];' : '',
    ...body.lines,
    ...stores,
    expands ? '' : 'or0[j0]=i0;j0++;',
    `}${save}}catch(er0){${save}st0[5]=z0;throw er0;}}`,
  ];
  const isSelectionAll = selection !== undefined && !expands && stores.length === 0 && body.lines.length === 0;
  const lines = [...source.constructorTexts(), emit, 'return[', ...select, ...(isSelectionAll ? ['void 0'] : compute), '];'].filter((line) => line !== '');
  const uses = new Set(lines.flatMap((line) => line.match(IDENTIFIER) ?? []));
  const captured = [
    ...VIEWS.map((view) => ({ id: view, text: `const ${view}=me0.${view};` })),
    ...HELPERS.map((_, n) => ({ id: `h${n}`, text: `const h${n}=he0[${n}];` })),
    ...source.constants.map((_, n) => ({ id: `k${n}`, text: `const k${n}=ka0[${n}];` })),
  ];
  return ['"use strict";', ...captured.flatMap(({ id, text }) => (uses.has(id) ? [text] : [])), ...lines].join('\n');
}

function inputBases(input: Schema, uses: ReadonlySet<string>): string[] {
  return input.fields.flatMap((field, c) => {
    const at = c * ADDRESSES_A_COLUMN;
    const bases = [
      { id: `d${c}`, value: `ai0[${at}]>>>${widthShift(field)}` },
      { id: `t${c}`, value: `ai0[${at}]>>>0` },
      { id: `q${c}`, value: `ai0[${at + 1}]>>>2` },
      { id: `w${c}`, value: `ai0[${at + 2}]>>>0` },
    ];
    return bases.flatMap(({ id, value }) => (uses.has(id) ? [`const ${id}=${value};`] : []));
  });
}

/**
 * The `emit` of a flatMap: checks a row and appends it to the builder whose addresses are currently in the
 * list.
 */
function emitText(shared: Source, output: Schema, outputs: readonly Output[]): string {
  const source = new Source(shared);
  source.effect('if(st0[4]===0)h8();if(typeof p0!=="object"||p0===null)h5(p0);');
  output.fields.forEach((field, c) => source.effect(`const v${c}=${resultText(source, 'p0', field)};`, `v${c}`));
  output.fields.forEach((field, c) => source.effect(fitText(source, field, `v${c}`, `r${c}`, ANY).text, `r${c}`));
  source.effect('if(st0[0]===st0[6])h9();const j0=st0[0];');
  for (const base of outputBases(output, outputs)) source.effect(base);
  outputs.forEach((to, c) => {
    if (to.from === 'loop') source.effect(storeText(output.field(c), to.place, `r${c}`, to.mayBeNull));
  });
  source.effect('or0[0][j0]=st0[1];st0[0]=j0+1;');
  return `const em0=function(p0){\n${source.finish([]).lines.join('\n')}\n};`;
}

/** Texts and bytes are written by helpers, which need no address. */
function outputBases(output: Schema, outputs: readonly Output[]): string[] {
  return outputs.flatMap((to, c) => {
    const field = output.field(c);
    if (to.from !== 'loop' || field.type.name === 'utf8' || field.type.name === 'binary') return [];
    const at = to.place * ADDRESSES_A_COLUMN;
    const data = `const od${to.place}=ao0[${at}]>>>${widthShift(field)};`;
    return [to.mayBeNull ? `${data}const ow${to.place}=ao0[${at + 2}]>>>0;` : data];
  });
}

/** From bytes to indices of the view through which a column is read and written. */
function widthShift(field: Field): number {
  return { bool: 0, i8: 0, i16: 1, i32: 2, u32: 2, f32: 2, f64: 3, i64: 3, timestamp: 2, utf8: 0, binary: 0 }[field.type.name];
}
