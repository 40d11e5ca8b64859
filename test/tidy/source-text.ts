/** Takes TypeScript apart far enough to look for words in code, and not in comments, texts or regular expressions. */

/**
 * The source with comments, string contents and regular expressions blanked out (line ends stay, so that line numbers
 * hold). What stands in `${...}` is code and stays.
 */
export function codeOf(source: string): string {
  let out = '';
  let at = 0;
  // Depth of braces at which each open template goes on.
  const templates: number[] = [];
  let braces = 0;
  const blank = (to: number): void => {
    out += source.slice(at, to).replace(/[^\n]/g, ' ');
    at = to;
  };
  const skipString = (quote: string): void => {
    let end = at + 1;
    while (end < source.length && source[end] !== quote && source[end] !== '\n') end += source[end] === '\\' ? 2 : 1;
    blank(Math.min(end + 1, source.length));
  };
  /** From behind a backtick, or behind the brace that closes an expression, to the end of the text part. */
  const skipTemplate = (from: number): void => {
    let end = from;
    while (end < source.length && source[end] !== '`' && !(source[end] === '$' && source[end + 1] === '{')) end += source[end] === '\\' ? 2 : 1;
    if (source[end] === '$') {
      blank(end + 2);
      templates.push(braces);
      braces++;
    } else blank(Math.min(end + 1, source.length));
  };
  while (at < source.length) {
    const c = source[at];
    const next = source[at + 1];
    if (c === '/' && next === '/') blank(orEnd(source.indexOf('\n', at), source));
    else if (c === '/' && next === '*') blank(orEnd(source.indexOf('*/', at + 2), source, 2));
    else if (c === '"' || c === "'") skipString(c);
    else if (c === '`') skipTemplate(at + 1);
    else if (c === '/' && /(?:^|[(,=:[!&|?{};+>]|\breturn|\bcase)\s*$/.test(out.slice(-40))) blank(regexEnd(source, at));
    else {
      if (c === '{') braces++;
      if (c === '}') {
        braces--;
        if (templates.at(-1) === braces) {
          templates.pop();
          skipTemplate(at + 1);
          continue;
        }
      }
      out += c;
      at++;
    }
  }
  return out;
}

function orEnd(index: number, source: string, more = 0): number {
  return index < 0 ? source.length : index + more;
}

function regexEnd(source: string, start: number): number {
  let isClass = false;
  for (let at = start + 1; at < source.length; at++) {
    const c = source[at];
    if (c === '\\') at++;
    else if (c === '\n') return at;
    else if (c === '[') isClass = true;
    else if (c === ']') isClass = false;
    else if (c === '/' && !isClass) return at + 1;
  }
  return source.length;
}

export interface Import {
  readonly from: string;
  readonly line: number;
}

const FROM = /(?<!\.)\b(?:from\s*|import\s*\(?\s*)$/;

/** What a source imports or re-exports, types included, and dynamically by a literal. */
export function importsOf(source: string): Import[] {
  const code = codeOf(source);
  const found: Import[] = [];
  for (const match of source.matchAll(/(['"])([^'"\n]+)\1/g)) {
    // In the code the text is blank, the words in front of it are not.
    const before = code.slice(Math.max(0, match.index - 30), match.index);
    const start = source[match.index - 1] === ' ' || source[match.index - 1] === '(';
    if (start && FROM.test(before)) found.push({ from: match[2] as string, line: lineOf(source, match.index) });
  }
  return found;
}

export function lineOf(source: string, index: number): number {
  return source.slice(0, index).split('\n').length;
}
