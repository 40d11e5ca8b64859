// `node scripts/complete-lock.js`: after an `npm install`, adds optional packages of other platforms to
// package-lock.json, and to that of bench/peers. npm leaves them out when its registry does not have them (a
// mirror may hold one platform only). Without them `npm ci` refuses the lock. The entries have no checksum;
// npm fetches them on their platform only. `--check` changes nothing, prints what is missing, and exits 1 if
// anything is.

import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const paths = ['package-lock.json', 'bench/peers/package-lock.json'].map((path) => join(root, path));
const PLATFORM =
  /(aix|android|darwin|freebsd|linux|netbsd|openbsd|openharmony|sunos|win32)-(arm64|arm|x64|ia32|loong64|mips64el|ppc64|riscv64|s390x)(?:-(musl|gnu|msvc))?$/;
const LIBC = { musl: 'musl', gnu: 'glibc' };

/** Entries for optional dependencies that a lock mentions but does not have, by their place in it. */
export function missingEntries(lock) {
  const missing = new Map();
  for (const parent of Object.values(lock.packages)) {
    for (const [name, range] of Object.entries(parent.optionalDependencies ?? {})) {
      const place = `node_modules/${name}`;
      if (Object.keys(lock.packages).some((known) => known === place || known.endsWith(`/${place}`))) continue;
      const platform = PLATFORM.exec(name);
      if (!platform || !/^\d+\.\d+\.\d+/.test(range))
        throw new Error(`${name}@${range} is not in package-lock.json, and its name says no platform, or its version is a range. Add it by hand.`);
      const [, os, cpu, libc] = platform;
      missing.set(place, { version: range, cpu: [cpu], ...(parent.dev && { dev: true }), ...(LIBC[libc] && { libc: [LIBC[libc]] }), optional: true, os: [os] });
    }
  }
  return missing;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const isCheck = process.argv.includes('--check');
  for (const path of paths) {
    const lock = JSON.parse(readFileSync(path, 'utf8'));
    const missing = missingEntries(lock);
    for (const [place, { version }] of missing) console.log(`${place} ${version}`);
    if (missing.size === 0) continue;
    if (isCheck) process.exitCode = 1;
    else {
      const packages = [...Object.entries(lock.packages), ...missing].sort(([a], [b]) => a.localeCompare(b, 'en'));
      writeFileSync(path, `${JSON.stringify({ ...lock, packages: Object.fromEntries(packages) }, null, 2)}\n`);
    }
  }
}
