/** Rows as a text table, for people. Columns are as wide as their widest cell; numbers are right-aligned. */

import { type AnyRow, type DataType, memberOf, type Schema, textOfValue } from '../../core/index.ts';

const CELL_CHARACTERS = 40;
const GAP = '  ';
const RIGHT: ReadonlySet<string> = new Set(['i8', 'i16', 'i32', 'u32', 'i64', 'f32', 'f64']);
const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

/** @example table(schema({ page: utf8, n: i32 }), [{ page: '/a', n: 1 }]) // 'page  n\n----  -\n/a    1\n' */
export function table(schema: Schema, rows: readonly AnyRow[]): string {
  const { fields } = schema;
  const lines = [
    fields.map(({ name }) => clipped(name)),
    fields.map(() => ''),
    ...rows.map((row) => fields.map(({ name, type }) => clipped(cell(memberOf(row, { name, type }), type)))),
  ];
  const widths = fields.map((_, c) => Math.max(1, ...lines.map((cells) => width(cells[c] as string))));
  lines[1] = widths.map((w) => '-'.repeat(w));
  return lines
    .map(
      (cells) =>
        `${cells
          .map((text, c) => padded(text, widths[c] as number, RIGHT.has(schema.field(c).type.name)))
          .join(GAP)
          .trimEnd()}\n`,
    )
    .join('');
}

function cell(value: unknown, type: DataType): string {
  if (value === null || value === undefined) return 'null';
  if (type.element !== undefined) return String(textOfValue('', type, value));
  if (type.name === 'timestamp') return time(value as number);
  if (type.name === 'f64' || type.name === 'f32') return decimal(value as number);
  if (value instanceof Uint8Array) return `0x${Buffer.from(value.subarray(0, CELL_CHARACTERS)).toString('hex')}`;
  return String(value);
}

function time(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime())
    ? String(ms)
    : date
        .toISOString()
        .replace('T', ' ')
        .replace(/(\.000)?Z$/, '');
}

/** At most six decimals, so that a mean does not fill the line. */
function decimal(value: number): string {
  if (!Number.isFinite(value) || Number.isInteger(value) || Math.abs(value) < 1e-3 || Math.abs(value) >= 1e15) return String(value);
  return String(Number(value.toFixed(6)));
}

/**
 * The text on one line, without control characters (a terminal would obey them), cut to the width of a cell.
 */
function clipped(text: string): string {
  const plain = text.length > CELL_CHARACTERS * 8 ? text.slice(0, CELL_CHARACTERS * 8) : text;
  const clean = plain.replace(/\p{Cc}/gu, '·');
  const parts = [...graphemes.segment(clean)];
  return parts.length <= CELL_CHARACTERS
    ? clean
    : `${parts
        .slice(0, CELL_CHARACTERS - 1)
        .map((part) => part.segment)
        .join('')}…`;
}

/** Width in characters as a reader counts them. East Asian wide characters count as two. */
function width(text: string): number {
  let columns = 0;
  for (const { segment } of graphemes.segment(text))
    columns += /^[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}]/u.test(segment) ? 2 : 1;
  return columns;
}

function padded(text: string, columns: number, isRight: boolean): string {
  const fill = ' '.repeat(columns - width(text));
  return isRight ? fill + text : text + fill;
}
