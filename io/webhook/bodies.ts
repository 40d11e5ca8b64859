/** What a request body holds: JSON values, lines, or Flume's events. It finds records, and decodes none. */

import { shown } from '../../core/index.ts';

export type BodyFormat = 'json' | 'lines' | 'flume';

/** The client has sent what is none. */
export class BadBody extends Error {}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const LF = 0x0a;
const CR = 0x0d;
const [OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT, COMMA, COLON] = [0x5b, 0x5d, 0x7b, 0x7d, 0x2c, 0x3a];

/** The records of a body: views of it, except for Flume's. */
export function recordsIn(body: Uint8Array, format: BodyFormat): Uint8Array[] {
  if (format === 'lines') return linesIn(body);
  if (format === 'flume') return flumeEvents(body);
  return jsonValues(body);
}

function linesIn(body: Uint8Array): Uint8Array[] {
  const lines: Uint8Array[] = [];
  for (let from = 0; from < body.length; ) {
    const lf = body.indexOf(LF, from);
    const to = lf < 0 ? body.length : lf;
    const line = body.subarray(from, to > from && body[to - 1] === CR ? to - 1 : to);
    if (line.length > 0) lines.push(line);
    from = to + 1;
  }
  return lines;
}

/**
 * The values of a JSON array; else each of the values that follow one another: one object, or one a line. Brackets and
 * quotes have to match. What is between them is up to the codec.
 */
function jsonValues(body: Uint8Array): Uint8Array[] {
  let at = blank(body, body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf ? 3 : 0);
  const values: Uint8Array[] = [];
  if (body[at] !== OPEN_ARRAY) {
    while (at < body.length) {
      const end = valueEnd(body, at);
      values.push(body.subarray(at, end));
      at = blank(body, end);
    }
    return values;
  }
  at = blank(body, at + 1);
  if (body[at] === CLOSE_ARRAY) at++;
  else
    for (;;) {
      const end = valueEnd(body, at);
      values.push(body.subarray(at, end));
      at = blank(body, end);
      if (body[at] === CLOSE_ARRAY) {
        at++;
        break;
      }
      if (body[at] !== COMMA) throw new BadBody(at < body.length ? `expected a comma or ] at byte ${at} of the array` : 'the array does not end');
      at = blank(body, at + 1);
    }
  at = blank(body, at);
  if (at < body.length) throw new BadBody(`there is more behind the array, at byte ${at}`);
  return values;
}

function flumeEvents(body: Uint8Array): Uint8Array[] {
  return jsonValues(body).map((bytes, i) => {
    let event: { readonly body?: unknown } | null;
    try {
      event = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')) as typeof event;
    } catch (error) {
      throw new BadBody(`event ${i} is no JSON: ${(error as Error).message}`);
    }
    if (typeof event?.body !== 'string') throw new BadBody(`event ${i} has the body ${shown(event?.body)}; it has to be a text: {"headers":{},"body":"..."}`);
    return Buffer.from(event.body);
  });
}

function blank(body: Uint8Array, from: number): number {
  let at = from;
  while (at < body.length && (body[at] === 0x20 || body[at] === LF || body[at] === CR || body[at] === 0x09)) at++;
  return at;
}

/** Where the value at `from` ends. */
function valueEnd(body: Uint8Array, from: number): number {
  let depth = 0;
  for (let at = from; at < body.length; at++) {
    const byte = body[at] as number;
    if (byte === QUOTE) {
      at = textEnd(body, at);
      if (depth === 0) return at + 1;
    } else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) depth++;
    else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) {
      if (depth === 0) {
        if (at === from) throw new BadBody(`expected a value at byte ${at}`);
        return at;
      }
      if (--depth === 0) return at + 1;
    } else if (depth === 0 && (byte === COMMA || byte === COLON || byte === 0x20 || byte === LF || byte === CR || byte === 0x09)) {
      if (at === from) throw new BadBody(`expected a value at byte ${at}`);
      return at;
    }
  }
  if (depth > 0) throw new BadBody(`the value at byte ${from} does not end`);
  if (from >= body.length) throw new BadBody('expected a value at the end');
  return body.length;
}

/** The closing quote of the text that begins at `from`. */
function textEnd(body: Uint8Array, from: number): number {
  for (let at = from + 1; at < body.length; at++) {
    if (body[at] === BACKSLASH) at++;
    else if (body[at] === QUOTE) return at;
  }
  throw new BadBody(`the text at byte ${from} does not end`);
}
