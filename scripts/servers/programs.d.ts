/** Types of scripts/servers/programs.js. */

/** The path of a program, on the PATH, where daemons are, or in one of `more`. */
export function findProgram(name: string, more?: readonly string[]): string | undefined;
export function installedVersion(program: string | undefined, flag?: string): string | undefined;
/** The first Java that fits: of JAVA_HOME, then of the PATH, then of /usr/lib/jvm. */
export function findJava(range: { readonly min: number; readonly max?: number }): { java: string; home: string } | { missing: string };
