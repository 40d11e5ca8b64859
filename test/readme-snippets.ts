/**
 * The TypeScript of a Markdown text: fenced blocks that say `ts`, with what else they say behind it, and the code in the last
 * column of tables that are headed so.
 */

export interface Snippet {
  readonly file: string;
  /** Line of the opening fence, from 1. */
  readonly line: number;
  readonly compileOnly: boolean;
  /** The snippet that this one goes on from: what that exports is known here. */
  readonly after: string | undefined;
  readonly source: string;
}

/** @throws Error for a fence that is not closed, or says what nobody understands: a snippet must not go unchecked by a slip */
export function snippetsOf(markdown: string): Snippet[] {
  const lines = markdown.split('\n');
  const found: Snippet[] = [];
  for (let at = 0; at < lines.length; at++) {
    const fence = /^( *)```(\S*)(.*)$/.exec(lines[at] as string);
    if (!fence) continue;
    const [, indent = '', language, rest = ''] = fence;
    const start = at + 1;
    do at++;
    while (at < lines.length && (lines[at] as string).trim() !== '```');
    if (at === lines.length) throw new Error(`the fence of line ${start} is not closed`);
    if (language !== 'ts' && language !== 'typescript') continue;
    let file = `snippet-${found.length + 1}.ts`;
    let compileOnly = false;
    let after: string | undefined;
    for (const word of rest.trim().split(/\s+/).filter(Boolean)) {
      if (word === 'compile-only') compileOnly = true;
      else if (word.startsWith('file=')) file = word.slice(5);
      else if (word.startsWith('after=')) after = word.slice(6);
      else throw new Error(`the fence of line ${start} says ${word}; known are compile-only, file=NAME.ts and after=NAME.ts`);
    }
    if (!/^[a-z0-9-]+\.ts$/.test(file)) throw new Error(`the fence of line ${start} has the file name ${file}`);
    const source = lines.slice(start, at).map((line) => (line.startsWith(indent) ? line.slice(indent.length) : line.trimStart()));
    const base = after === undefined ? undefined : found.find((snippet) => snippet.file === after);
    if (after !== undefined && base === undefined) throw new Error(`the fence of line ${start} goes on from ${after}, which is no snippet before it`);
    found.push({ file, line: start, compileOnly, after, source: `${base === undefined ? '' : importOf(base)}${source.join('\n')}\n` });
  }
  return found;
}

/** An import of all that a snippet exports. On one line, so that the lines of what follows can be told. */
export function importOf({ file, source }: Snippet): string {
  const names = [...source.matchAll(/^export (?:const|function|class|async function) (\w+)/gm)].map(([, name]) => name);
  return `import { ${names.join(', ')} } from './${file}';\n`;
}

export interface Cell {
  readonly line: number;
  readonly code: string;
}

/** The code spans in the last column of the tables whose last column is headed `title`. */
export function cellsOf(markdown: string, title: string): Cell[] {
  const found: Cell[] = [];
  let isOurs = false;
  markdown.split('\n').forEach((text, index, lines) => {
    if (!text.startsWith('|')) {
      isOurs = false;
      return;
    }
    const last = text.slice(0, text.lastIndexOf('|')).split(' | ').at(-1) as string;
    if (!(lines[index - 1] ?? '').startsWith('|')) isOurs = last.trim() === title;
    else if (isOurs) for (const [, code] of last.matchAll(/`([^`]+)`/g)) found.push({ line: index + 1, code: code as string });
  });
  return found;
}
