/** The TypeScript snippets of a Markdown text: fenced blocks that say `ts`, with what else they say behind it. */

export interface Snippet {
  readonly file: string;
  /** Line of the opening fence, from 1. */
  readonly line: number;
  readonly compileOnly: boolean;
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
    for (const word of rest.trim().split(/\s+/).filter(Boolean)) {
      if (word === 'compile-only') compileOnly = true;
      else if (word.startsWith('file=')) file = word.slice(5);
      else throw new Error(`the fence of line ${start} says ${word}; known are compile-only and file=NAME.ts`);
    }
    if (!/^[a-z0-9-]+\.ts$/.test(file)) throw new Error(`the fence of line ${start} has the file name ${file}`);
    const source = lines.slice(start, at).map((line) => (line.startsWith(indent) ? line.slice(indent.length) : line.trimStart()));
    found.push({ file, line: start, compileOnly, source: `${source.join('\n')}\n` });
  }
  return found;
}
