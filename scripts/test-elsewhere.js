// Runs some test files in a copy of the tree whose path is long and has spaces and letters that URLs write
// otherwise: what depends on where a checkout lies fails here. `node scripts/test-elsewhere.js [FILE...]`;
// without files, those that start programs and threads or put paths into messages.

import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runFiles, summaryOf } from './test-run.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const LEFT_OUT = new Set(['.git', '.cache', 'node_modules']);
const FILES = ['test/core/ring.test.ts', 'test/io/files.test.ts', 'test/io/log.test.ts', 'test/operators/rows.test.ts', 'test/runtime/main.test.ts'];

const given = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'millrace-elsewhere-'));
let isGood = false;
try {
  const copy = join(
    folder,
    'a folder with spaces, Ümläute & 100%',
    'that lies as deep as the projects of some companies do',
    'in which names are cut',
    'millrace',
  );
  mkdirSync(dirname(copy), { recursive: true });
  cpSync(root, copy, { recursive: true, filter: (path) => path === root || dirname(path) !== root || !LEFT_OUT.has(path.slice(root.length + 1)) });
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'), 'junction');
  const files = (given.length > 0 ? given : FILES).map((file) => join(copy, file));
  const absent = files.find((file) => !existsSync(file));
  if (absent !== undefined) throw new Error(`there is no ${absent}`);
  const results = await runFiles(files, { cwd: copy });
  console.log(summaryOf(results));
  isGood = results.every(({ ok }) => ok);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exit(isGood ? 0 : 1);
