/** Types of scripts/servers/versions.js, as far as the tests look at it. */

import type { ServerName } from './index.js';

export const VERSIONS: Readonly<Record<ServerName, { readonly version?: string; readonly java?: { readonly min: number; readonly max?: number } }>>;
