/**
 * The command line: `millrace init | run | explain | lag | top | checkpoint | demo`. Finds the command (commands/), and prints
 * what goes wrong. cli.ts is the program.
 */

import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { MillraceError, withoutSecrets } from '../core/index.ts';
import { packageVersion } from './checkpoint/index.ts';
import { COMMANDS, UsageError } from './commands/index.ts';

const HELP = `millrace: stream processing on worker threads

${Object.values(COMMANDS)
  .map(({ help }) => help)
  .join('')}  millrace --help, --version
`;

async function main(args: string[]): Promise<number> {
  const [name, ...rest] = args;
  const command = isCommand(name) ? COMMANDS[name] : undefined;
  if (rest.includes('--help') || rest.includes('-h')) {
    console.log(command?.help ?? HELP);
    return 0;
  }
  if (command !== undefined) return command.run(rest);
  switch (name) {
    case '--version':
    case '-v':
      console.log(packageVersion());
      return 0;
    case '--help':
    case '-h':
    case 'help':
      console.log(HELP);
      return 0;
    default:
      throw new UsageError(name === undefined ? 'a command is missing' : `there is no command ${JSON.stringify(name)}`);
  }
}

function isCommand(name: string | undefined): name is string {
  return name !== undefined && Object.hasOwn(COMMANDS, name);
}

/**
 * Where in the user's files an error came from: its stack, without the frames of Node and of this package.
 */
function traceOf(cause: unknown): string | undefined {
  if (typeof cause === 'string') return cause;
  if (!(cause instanceof Error)) return undefined;
  const rooms = ['core', 'operators', 'io', 'runtime'].map((room) => new URL(`../${room}/`, import.meta.url));
  const ours = ['node:', '/node_modules/', ...rooms.flatMap((room) => [room.href, fileURLToPath(room)])];
  const isOurs = (line: string) => /^\s+at /.test(line) && ours.some((place) => line.includes(place));
  const stack = cause.stack ?? String(cause);
  // Where something cannot be compiled, its place is only in the message, or before the stack.
  return stack
    .split('\n')
    .filter((line) => !isOurs(line))
    .join('\n');
}

/**
 * Does what the arguments say, and prints what goes wrong.
 *
 * @returns the exit code: 0 done, 1 failed, 2 used wrongly
 */
export async function commandLine(args: string[]): Promise<number> {
  try {
    return await main(args);
  } catch (error) {
    if (error instanceof UsageError) {
      const [command] = args;
      // Node's own message may be of several lines.
      const what = withoutSecrets(error.message).replaceAll(/\s+/g, ' ').replace(/\.$/, '');
      console.error(`millrace: ${what}. What there is: millrace ${isCommand(command) ? `${command} ` : ''}--help`);
      return 2;
    }
    if (error instanceof MillraceError) {
      console.error(`${error.code}: ${error.message}`);
      const isOfUser = error.code === 'ERR_MILLRACE_USER_FUNCTION' || error.code === 'ERR_MILLRACE_MODULE';
      const trace = isOfUser || typeof error.cause === 'string' ? traceOf(error.cause) : undefined;
      if (trace !== undefined) console.error(withoutSecrets(trace));
    } else console.error(withoutSecrets(inspect(error)));
    // An invalid option is a usage error, wherever it is found.
    return error instanceof MillraceError && error.code === 'ERR_MILLRACE_OPTION' ? 2 : 1;
  }
}
