/** The generated text that checks a computed value against its column, and that writes it to the output. */

import type { Field } from '../../core/index.ts';
import { ANY, NULL, OBJECT, typeMask, UNDEFINED } from './slots.ts';
import type { Source } from './source.ts';

const KIND: ReadonlyMap<number, string> = new Map([
  [1, 'number'],
  [2, 'boolean'],
  [4, 'string'],
  [8, 'bigint'],
]);

/**
 * Declares `to`: the value of `from` as it reads back from a column of this field, or null. Values that do
 * not fit go to refuseValue. The rules are those of `fitted` in values.ts.
 *
 * @param mask the types that `from` can have
 */
export function fitText(
  source: Source,
  field: Field,
  from: string,
  to: string,
  mask: number,
  isConverted = false,
): { readonly text: string; readonly mayFail: boolean } {
  const { name, nullable } = field.type;
  if (field.type.json || field.type.element !== undefined) return { text: `const ${to}=h19(${source.constant(field)},${from});`, mayFail: true };
  const wanted = typeMask(field.type);
  if ((name === 'timestamp' || name === 'i64') && (mask & ~(NULL | UNDEFINED)) !== wanted && !isConverted) {
    // A Date, or a safe integer, where one of these is wanted.
    const whole = to.replace(/^[a-z]+/, 'cv');
    const of = name === 'i64' ? 'bigint' : 'number';
    const isOther = name === 'i64' ? `typeof ${from}==="number"` : `typeof ${from}==="object"`;
    const fit = fitText(source, field, whole, to, ANY, true);
    return { text: `const ${whole}=typeof ${from}==="${of}"?${from}:${isOther}?h17(${from}):${from};${fit.text}`, mayFail: fit.mayFail };
  }
  const refuse = `h7(${source.constant(field)},${from});`;
  const tests: string[] = [];
  if (wanted === OBJECT) tests.push(`!h15(${from})`);
  else if ((mask & ~(NULL | UNDEFINED)) !== wanted || (!nullable && (mask & (NULL | UNDEFINED)) !== 0)) tests.push(`typeof ${from}!=="${KIND.get(wanted)}"`);
  const range = rangeTest(name, from);
  if (range !== undefined) tests.push(range);
  const check = tests.length === 0 ? '' : `if(${tests.join('||')})${refuse}`;
  const value = readBack(name, from);
  if (nullable && (mask & (NULL | UNDEFINED)) !== 0) {
    return { text: `let ${to}=null;if(${from}!==null&&${from}!==void 0){${check}${to}=${value};}`, mayFail: check !== '' };
  }
  return { text: `${check}const ${to}=${value};`, mayFail: check !== '' };
}

/** True for a value of the right JavaScript type that is outside the column's range. */
function rangeTest(name: Field['type']['name'], v: string): string | undefined {
  switch (name) {
    case 'i8':
      return `((${v}<<24)>>24)!==${v}`;
    case 'i16':
      return `((${v}<<16)>>16)!==${v}`;
    case 'i32':
      return `(${v}|0)!==${v}`;
    case 'u32':
      return `(${v}>>>0)!==${v}`;
    case 'i64':
      return `BigInt.asIntN(64,${v})!==${v}`;
    case 'timestamp':
      return `!Number.isSafeInteger(Math.floor(${v}))`;
    default:
      return undefined;
  }
}

function readBack(name: Field['type']['name'], v: string): string {
  switch (name) {
    case 'i8':
    case 'i16':
    case 'i32':
      return `${v}|0`;
    case 'u32':
      return `${v}>>>0`;
    case 'f32':
      return `Math.fround(${v})`;
    case 'timestamp':
      return `Math.floor(${v})+0`;
    case 'utf8':
      return `h13(${v})`;
    case 'binary':
      return `h14(${v})`;
    default:
      return v;
  }
}

/** Writes local `id` to row `j0` of the output column at `place`: addresses od, ow of that place. */
export function storeText(field: Field, place: number, id: string, mayBeNull: boolean): string {
  const { name } = field.type;
  if (field.type.element !== undefined) return `h20(${place},j0,${id});`;
  if (name === 'utf8') return `h10(${place},j0,${id});`;
  if (name === 'binary') return `h11(${place},j0,${id});`;
  const od = `od${place}`;
  const value =
    name === 'bool'
      ? writeBit(od, id)
      : name === 'timestamp'
        ? `u32[${od}+j0*2]=${id}>>>0;i32[${od}+j0*2+1]=Math.floor(${id}/4294967296);`
        : `${name}[${od}+j0]=${id};`;
  return mayBeNull ? `if(${id}===null)u8[(ow${place}+(j0>>>3))>>>0]&=~(1<<(j0&7));else{${value}}` : value;
}

function writeBit(base: string, id: string): string {
  return `if(${id})u8[(${base}+(j0>>>3))>>>0]|=1<<(j0&7);else u8[(${base}+(j0>>>3))>>>0]&=~(1<<(j0&7));`;
}

/**
 * Reads a column of a returned or emitted row. A name that every object inherits (`constructor`) must be the
 * row's own.
 */
export function resultText(source: Source, row: string, field: Field): string {
  if (field.type.nested) return `h21(${row},${source.constant(field)})`;
  const name = source.constant(field.name);
  return field.name in Object.prototype ? `h12(${row},${name})` : `${row}[${name}]`;
}
