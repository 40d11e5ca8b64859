/**
 * `millrace init`: a new project from the files in template/. It writes nothing unless it can write all of it, and never
 * over something.
 */

import { existsSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, readdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MillraceError, shown, shownPath } from '../../core/index.ts';
import { packageVersion } from '../checkpoint/index.ts';

const TEMPLATE = fileURLToPath(new URL('./template/', import.meta.url));
/** npm leaves out, or obeys, files of these names in a package. */
const DOTTED = new Map([
  ['gitignore', '.gitignore'],
  ['dockerignore', '.dockerignore'],
]);

const SCRIPTS = {
  // The shell makes room for the program: else it dies of the SIGTERM that npm hands it, and the program gets none.
  start: `${process.platform === 'win32' ? '' : 'exec '}node --import tsx src/main.ts`,
  test: 'node --import tsx --test test/clicks.test.ts',
  typecheck: 'tsc -p tsconfig.json',
  explain: 'millrace explain src/clicks.ts --param dir=data/topics',
};
const DEV_DEPENDENCIES = { '@types/node': '^20.19.0', typescript: '>=5.7.0' };
/** What `npm init` writes where there is no test yet. */
const NO_TEST = 'echo "Error: no test specified" && exit 1';

interface Manifest {
  name?: unknown;
  version?: unknown;
  private?: unknown;
  type?: unknown;
  main?: unknown;
  scripts?: Record<string, string>;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
}

export interface NewProject {
  /** Absolute. */
  readonly dir: string;
  /** Relative to `dir`, with slashes, in order. */
  readonly files: readonly string[];
  /** Packages are still to be fetched before it can start. */
  readonly needsInstall: boolean;
}

/**
 * Writes the files of a new project into `dir`, which is made where it is not there. A package.json as `npm init` writes it
 * is kept, and completed.
 *
 * @throws MillraceError ERR_MILLRACE_FILE, before anything is written: a file of the template is there already, a
 *   package.json has other scripts of these names, or cannot be read, or belongs to a CommonJS program; or something cannot
 *   be written
 */
export async function initProject(dir: string): Promise<NewProject> {
  const root = resolve(dir);
  const files = await templateFiles();
  // A README of the user's own stays; nothing needs ours.
  const wanted = files.filter(({ to }) => to !== 'README.md' || !existsSync(join(root, to)));
  const inTheWay = wanted.filter(({ to }) => existsSync(join(root, to))).map(({ to }) => to);
  if (inTheWay.length > 0) throw refused(root, `there is ${inTheWay.join(', ')} already, and nothing is overwritten. Give a folder that is empty, or new`);
  const manifestPath = join(root, 'package.json');
  const manifest = completed(existsSync(manifestPath) ? read(manifestPath, root) : { name: nameFor(root), version: '0.1.0', private: true }, root);
  try {
    await mkdir(root, { recursive: true });
    for (const { from, to } of wanted) {
      await mkdir(dirname(join(root, to)), { recursive: true });
      await copyFile(from, join(root, to));
    }
    await writeFile(manifestPath, `${JSON.stringify(manifest, null, 2)}\n`);
  } catch (cause) {
    throw new MillraceError('ERR_MILLRACE_FILE', `The new project cannot be written to ${shownPath(root)}: ${String((cause as Error).message)}`, { cause });
  }
  return {
    dir: root,
    files: [...wanted.map(({ to }) => to), 'package.json'].sort(),
    needsInstall: !['millrace', 'tsx'].every((name) => existsSync(join(root, 'node_modules', name))),
  };
}

async function templateFiles(): Promise<{ from: string; to: string }[]> {
  const entries = await readdir(TEMPLATE, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => {
      const from = join(entry.parentPath, entry.name);
      const path = from.slice(TEMPLATE.length).replaceAll('\\', '/');
      return { from, to: DOTTED.get(path) ?? path };
    });
}

function read(path: string, root: string): Manifest {
  let manifest: unknown;
  try {
    manifest = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw refused(root, `its package.json cannot be read (${(cause as Error).message})`);
  }
  if (typeof manifest !== 'object' || manifest === null || Array.isArray(manifest))
    throw refused(root, `its package.json is ${shown(manifest)}, not an object`);
  return manifest as Manifest;
}

/** The manifest with what the project needs. What is there stays, but for the placeholders of `npm init`. */
function completed(manifest: Manifest, root: string): Manifest {
  const scripts = manifest.scripts ?? {};
  for (const [name, command] of Object.entries(SCRIPTS)) {
    const there = Object.hasOwn(scripts, name) ? scripts[name] : undefined;
    if (there !== undefined && there !== command && there !== NO_TEST)
      throw refused(root, `its package.json has a script ${shown(name)}, ${shown(there)}, which stays as it is. Give a folder of its own`);
  }
  if (manifest.type !== 'module' && typeof manifest.main === 'string' && existsSync(join(root, manifest.main)))
    throw refused(root, `its package.json says that ${shown(manifest.main)} is CommonJS, and the new files are ES modules. Give a folder of its own`);
  const { main, ...rest } = manifest;
  const isMainThere = typeof main === 'string' && existsSync(join(root, main));
  const dependencies = manifest.dependencies ?? {};
  return {
    ...rest,
    ...(isMainThere ? { main } : {}),
    type: 'module',
    scripts: { ...scripts, ...SCRIPTS },
    dependencies: { millrace: `^${packageVersion()}`, tsx: '^4.23.0', ...dependencies },
    devDependencies: { ...DEV_DEPENDENCIES, ...manifest.devDependencies },
  };
}

/** A name that npm takes, from the name of the folder. */
function nameFor(root: string): string {
  const name = basename(root)
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]+/g, '-')
    .replace(/^[._-]+/, '')
    .slice(0, 200);
  return name === '' || name === 'millrace' || name === 'node_modules' ? 'millrace-project' : name;
}

function refused(root: string, why: string): MillraceError {
  return new MillraceError('ERR_MILLRACE_FILE', `No project is made in ${shownPath(root)}: ${why}.`);
}
