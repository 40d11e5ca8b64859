/** The door of runtime/commands: the commands of `millrace`, by name. */

import { type Command, UsageError } from './arguments.ts';
import { CHECKPOINT } from './checkpoint.ts';
import { DEMO } from './demo.ts';
import { EXPLAIN } from './explain.ts';
import { INIT } from './init.ts';
import { LAG } from './lag.ts';
import { RUN } from './run.ts';
import { TOP } from './top.ts';

export { UsageError };

/** In the order in which help lists them. */
export const COMMANDS: Readonly<Record<string, Command>> = { init: INIT, run: RUN, explain: EXPLAIN, lag: LAG, top: TOP, checkpoint: CHECKPOINT, demo: DEMO };
