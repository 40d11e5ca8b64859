/** How tests start programs of ours from their sources: flags for Node. */

export const TYPESCRIPT: readonly string[] = ['--import', new URL('../scripts/typescript.js', import.meta.url).href];
