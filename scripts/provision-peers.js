// Before `npm run bench`: installs the engines that only the benchmarks compare with
// (bench/peers/package.json) unless they are there. Where they cannot be had, the benches name what they
// leave out.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = join(dirname(dirname(fileURLToPath(import.meta.url))), 'bench/peers');
const { dependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
if (!Object.keys(dependencies).every((name) => existsSync(join(folder, 'node_modules', name)))) {
  console.log(`Installing ${Object.keys(dependencies).join(', ')} into bench/peers (once)...`);
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: folder, stdio: 'inherit', shell: process.platform === 'win32' });
  if (status !== 0) console.error('They could not be installed: the benches run without them.');
}
