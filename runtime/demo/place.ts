/** Where the demo runs: the modules of the examples, and what they are told of their source and sink. */

const ending = import.meta.url.endsWith('.ts') ? 'ts' : 'js';

/** Where clicks come from and results go: the modules to run, their params, and how to read results back. */
export interface Place {
  readonly makeClicks: string;
  readonly mainJob: string;
  readonly params: Record<string, unknown>;
  /** Params of results.ts. */
  readonly results: Record<string, unknown>;
  close(): Promise<void>;
}

/** An example of ours: TypeScript beside the sources, JavaScript in the package. */
export function example(name: string): URL {
  return new URL(`../../examples/${name}.${ending}`, import.meta.url);
}
