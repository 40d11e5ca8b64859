/** The functions of JavaScript that an emitted expression may call; with any other the closure is kept. */

import { BOOLEAN, NUMBER, STRING } from './slots.ts';

/** Functions of Math: they take numbers and give one. */
export const MATH_FUNCTIONS: ReadonlySet<string> = new Set([
  'floor',
  'ceil',
  'round',
  'trunc',
  'abs',
  'sign',
  'sqrt',
  'cbrt',
  'min',
  'max',
  'pow',
  'exp',
  'log',
  'log2',
  'log10',
  'log1p',
  'expm1',
  'hypot',
  'fround',
  'sin',
  'cos',
  'tan',
  'asin',
  'acos',
  'atan',
  'atan2',
  'sinh',
  'cosh',
  'tanh',
  'clz32',
  'imul',
]);
export const MATH_CONSTANTS: ReadonlyMap<string, number> = new Map(
  Object.entries({ PI: Math.PI, E: Math.E, LN2: Math.LN2, LN10: Math.LN10, LOG2E: Math.LOG2E, LOG10E: Math.LOG10E, SQRT2: Math.SQRT2, SQRT1_2: Math.SQRT1_2 }),
);
/** Functions of Number that say yes or no. */
export const NUMBER_TESTS: ReadonlySet<string> = new Set(['isFinite', 'isInteger', 'isNaN', 'isSafeInteger']);
/** Methods of texts, with the kind of value that each gives. */
export const STRING_METHODS: ReadonlyMap<string, number> = new Map([
  ['startsWith', BOOLEAN],
  ['endsWith', BOOLEAN],
  ['includes', BOOLEAN],
  ['toLowerCase', STRING],
  ['toUpperCase', STRING],
  ['trim', STRING],
  ['trimStart', STRING],
  ['trimEnd', STRING],
  ['slice', STRING],
  ['substring', STRING],
  ['charAt', STRING],
  ['charCodeAt', NUMBER],
  ['indexOf', NUMBER],
  ['lastIndexOf', NUMBER],
]);
