// The hooks behind typescript.js. They resolve `millrace`, and compile .ts files to JavaScript for a Node
// that does not strip types. The output of esbuild is kept in `.cache/typescript` under the file's path, with
// a digest of its source.

import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const cacheDir = join(root, '.cache/typescript');

/** The sub-paths of package.json, as tsconfig.json has them. */
const { compilerOptions } = JSON.parse(readFileSync(join(root, 'tsconfig.json'), 'utf8'));
const ours = new Map(Object.entries(compilerOptions.paths).map(([name, [path]]) => [name, new URL(`../${path}`, import.meta.url).href]));

export function resolve(specifier, context, next) {
  // Most imports are of this kind: Node need not look what else they could be. Where it strips types itself,
  // it has to find the format.
  if (!process.features.typescript && /^\.\.?\/.*\.ts$/.test(specifier) && context.parentURL?.startsWith('file:')) {
    return { url: new URL(specifier, context.parentURL).href, format: 'module', shortCircuit: true };
  }
  const url = ours.get(specifier);
  return url === undefined ? next(specifier, context) : { url, shortCircuit: true };
}

export async function load(url, context, next) {
  if (!url.startsWith('file:') || !/\.m?ts$/.test(new URL(url).pathname)) return next(url, context);
  const path = fileURLToPath(url);
  const text = readFileSync(path, 'utf8');
  const tail = `\n//${createHash('sha256').update(`${path}\n${text}`).digest('hex')}\n`;
  const place = join(cacheDir, `${relative(root, path).replaceAll(/[/\\:]/g, '-')}.js`);
  // Files elsewhere (a test's temporary folder) are compiled without the cache.
  if (!path.startsWith(root + sep)) return { format: 'module', source: await compile(path, text, ''), shortCircuit: true };
  const kept = readIfThere(place);
  return { format: 'module', source: kept?.endsWith(tail) ? kept : await compile(path, text, tail, place), shortCircuit: true };
}

async function compile(path, text, tail, place) {
  // The esbuild of tsx: one package less to install.
  const require = createRequire(createRequire(import.meta.url).resolve('tsx/package.json'));
  const { code } = await require('esbuild').transform(text, { loader: 'ts', target: 'es2023', format: 'esm', sourcemap: 'inline', sourcefile: path });
  if (place === undefined) return code;
  mkdirSync(cacheDir, { recursive: true });
  // Several threads may compile the same file. Each writes its own copy, and the last one takes the place.
  const own = `${place}.${process.pid}-${performance.now()}`;
  writeFileSync(own, code + tail);
  renameSync(own, place);
  return code;
}

function readIfThere(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
