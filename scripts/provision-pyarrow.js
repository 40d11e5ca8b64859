// Installs pyarrow, the peer that the Arrow tests check against, into .cache/pyarrow (git ignores it), and
// prints its Python: `node scripts/provision-pyarrow.js`. Exits 1, and says what to install, if there is no
// Python 3 with venv and pip.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const VERSION = '>=17,<26';
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = join(root, '.cache', 'pyarrow');
const inVenv = process.platform === 'win32' ? join(folder, 'Scripts', 'python.exe') : join(folder, 'bin', 'python');

function run(command, args) {
  const { status, error, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  return { ok: status === 0, text: (error?.message ?? `${stdout}${stderr}`).trim() };
}

const hasPyarrow = (python) => run(python, ['-c', 'import pyarrow']).ok;

/** The path of a Python that has pyarrow, or why there is none. Installs nothing. */
export function findPyarrow() {
  for (const python of [inVenv, 'python3', 'python']) {
    if (python === inVenv && !existsSync(inVenv)) continue;
    if (hasPyarrow(python)) return { python };
  }
  return { missing: 'pyarrow is not there: run `node scripts/provision-pyarrow.js` (it needs python3 with venv and pip)' };
}

/** Creates the virtual environment and installs pyarrow into it, unless it is there. */
export function provisionPyarrow() {
  const found = findPyarrow();
  if (found.python) return found;
  const host = ['python3', 'python'].find((python) => run(python, ['--version']).ok);
  if (!host) return { missing: 'there is no python3; install Python 3.9 or newer with venv and pip' };
  const made = run(host, ['-m', 'venv', folder]);
  if (!made.ok) return { missing: `python3 -m venv failed (on Debian: apt-get install python3-venv): ${made.text.slice(-500)}` };
  const installed = run(inVenv, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', `pyarrow${VERSION}`]);
  if (!installed.ok || !hasPyarrow(inVenv)) return { missing: `pip could not install pyarrow: ${installed.text.slice(-500)}` };
  return { python: inVenv };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { python, missing } = provisionPyarrow();
  console.log(python ?? missing);
  process.exitCode = python ? 0 : 1;
}
