/**
 * The text around the statements of a generated loop: captured constants, addresses, the loop itself, and what is
 * known of it when a statement throws.
 *
 *   factory(memory, constants, helpers, state, addressesIn, addressesOut, origins) -> loop(rowCount)
 *
 * The loop starts at row state[1] with state[0] rows written, and leaves both there, also when it throws: the caller
 * reports the row, steps over it and calls again. So one failing row costs a call, and a loop that never throws nothing.
 */

import type { Field, Schema } from '../../core/index.ts';
import { fitText, resultText, storeText } from './output.ts';
import type { Output } from './plan.ts';
import { ANY } from './slots.ts';
import { type LoopBody, Source } from './source.ts';

/** What `h0`, `h1`, ... are in a generated text; program.ts gives them in this order. */
export const HELPERS = ['readText', 'readBytes', 'textLength', 'bytesAt', 'bytesWithin', 'requireRow', 'refusePromise', 'refuseValue', 'refuseLate', 'nextBuilder', 'writeText', 'writeBinary', 'ownValue', 'wellFormed', 'plainBytes', 'isBytes'] as const;
export type HelperName = (typeof HELPERS)[number];

/** Places in the state, an Int32Array. */
export const STATE = { rowsOut: 0, row: 1, pending: 2, rowsOutBefore: 3, emitting: 4, operation: 5, capacity: 6 } as const;

/** Numbers by column in the address lists: data, offsets, validity. */
export const ADDRESSES_A_COLUMN = 3;

const VIEWS = ['u8', 'i8', 'i16', 'i32', 'u32', 'f32', 'f64', 'i64'] as const;

export interface LoopParts {
  readonly input: Schema;
  readonly output: Schema;
  readonly source: Source;
  readonly body: LoopBody;
  readonly stores: readonly string[];
  readonly loaded: readonly number[];
  readonly outputs: readonly Output[];
  readonly expands: boolean;
}

/** Input columns whose addresses the body uses. */
export function loadedColumns(input: Schema, body: LoopBody): number[] {
  return input.fields.flatMap((_, c) => (['d', 't', 'q', 'w'].some((base) => body.uses.has(`${base}${c}`)) ? [c] : []));
}

export function loopText({ input, output, source, body, stores, loaded, outputs, expands }: LoopParts): string {
  const emit = expands ? emitText(source, output, outputs) : '';
  const bases: string[] = [];
  for (const c of loaded) {
    const at = c * ADDRESSES_A_COLUMN;
    if (body.uses.has(`d${c}`)) bases.push(`const d${c}=ai0[${at}]>>>${widthShift(input.field(c))};`);
    if (body.uses.has(`t${c}`)) bases.push(`const t${c}=ai0[${at}]>>>0;`);
    if (body.uses.has(`q${c}`)) bases.push(`const q${c}=ai0[${at + 1}]>>>2;`);
    if (body.uses.has(`w${c}`)) bases.push(`const w${c}=ai0[${at + 2}]>>>0;`);
  }
  if (!expands) bases.push(...outputBases(output, outputs));
  const save = expands ? 'st0[1]=i0;' : 'st0[0]=j0;st0[1]=i0;';
  return [
    '"use strict";',
    ...VIEWS.map((view) => `const ${view}=me0.${view};`),
    ...HELPERS.map((_, n) => `const h${n}=he0[${n}];`),
    ...source.constants.map((_, n) => `const k${n}=ka0[${n}];`),
    emit,
    'return function(n0){',
    ...bases,
    expands ? 'let i0=st0[1];' : 'let i0=st0[1];let j0=st0[0];',
    'let z0=0;try{for(;i0<n0;i0++){',
    expands ? 'st0[3]=st0[0];' : '',
    ...body.lines,
    ...stores,
    expands ? '' : 'or0[j0]=i0;j0++;',
    `}${save}}catch(er0){${save}st0[5]=z0;throw er0;}};`,
  ].join('\n');
}

/** The `emit` of a flatMap: checks a row and appends it to the builder whose addresses are in the list now. */
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
