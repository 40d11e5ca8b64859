/** The version of this package: for manifests and `millrace --version`. */

import { existsSync, readFileSync } from 'node:fs';

export function packageVersion(): string {
  // Two folders up from the sources, three from dist.
  const near = new URL('../../package.json', import.meta.url);
  const file = existsSync(near) ? near : new URL('../../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
