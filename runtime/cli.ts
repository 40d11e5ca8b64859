#!/usr/bin/env node
/** The program `millrace`: command-line.ts with the arguments of this process. */

import { commandLine } from './command-line.ts';

void commandLine(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
