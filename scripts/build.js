// Builds dist/: the WebAssembly kernels from core/kernels (AssemblyScript), then the JavaScript and its
// types. `node scripts/build.js kernels` builds the kernels only.

import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);

function bin(packageName, name) {
  const manifest = require.resolve(`${packageName}/package.json`);
  const { bin: bins } = require(manifest);
  return join(dirname(manifest), typeof bins === 'string' ? bins : bins[name]);
}

function run(script, args) {
  const { status } = spawnSync(process.execPath, [script, ...args], { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

const only = process.argv[2];
if (only === undefined) rmSync(join(root, 'dist'), { recursive: true, force: true });
mkdirSync(join(root, 'dist/core'), { recursive: true });
run(bin('assemblyscript', 'asc'), [
  'core/kernels/index.ts',
  '--outFile',
  'dist/core/kernels.wasm',
  '--optimizeLevel',
  '3',
  '--shrinkLevel',
  '0',
  '--converge',
  '--noAssert',
  '--runtime',
  'stub',
  '--importMemory',
  '--sharedMemory',
  '--initialMemory',
  '1',
  '--maximumMemory',
  '65536',
  '--enable',
  'simd',
  '--enable',
  'threads',
  '--enable',
  'bulk-memory',
  '--enable',
  'relaxed-simd',
  '--memoryBase',
  '1024',
]);
if (only === undefined) {
  run(bin('typescript', 'tsc'), ['-p', 'tsconfig.build.json']);
  // JavaScript sources (the worker's entry must be one, see runtime/) are copied as they are.
  for (const file of ['runtime/workers/worker-entry.js']) if (existsSync(join(root, file))) cpSync(join(root, file), join(root, 'dist', file));
  // The live page is plain files; the chart library is bundled with it, so that users need not install it.
  cpSync(join(root, 'runtime/dashboard/page'), join(root, 'dist/runtime/dashboard/page'), { recursive: true });
  for (const [file, packaged] of [
    ['uplot.js', 'uplot/dist/uPlot.esm.js'],
    ['uplot.css', 'uplot/dist/uPlot.min.css'],
  ]) {
    cpSync(require.resolve(packaged), join(root, 'dist/runtime/dashboard/page', file));
  }
  // What `millrace init` copies: sources, as they are.
  cpSync(join(root, 'runtime/init/template'), join(root, 'dist/runtime/init/template'), { recursive: true });
  if (existsSync(join(root, 'dist/runtime/cli.js'))) chmodSync(join(root, 'dist/runtime/cli.js'), 0o755);
}
