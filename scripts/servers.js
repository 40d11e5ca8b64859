/**
 * Real servers for tests and experiments: `npm run servers` lists them, `npm run servers -- elasticsearch [--port 9200] [--stay]`
 * starts one on 127.0.0.1, and says where it is and how to connect, as one line of JSON on standard output.
 *
 * It runs until SIGINT, SIGTERM, the end of standard input, or the end of the process that started it, as `npm run kafka` does. With
 * `--stay` it outlives the last two. Then its data is removed.
 */

import fs from 'node:fs';
import { parseArgs } from 'node:util';
import { missing, SERVER_NAMES, startServer, versionOf } from './servers/index.js';
import { stopAtEndOfInput, stopAtSignals, watchStarters } from './servers/starters.js';

const USAGE = 'Usage: npm run servers [-- NAME [--port <1 to 65535>] [--stay]]\n';

/** @param {string} message */
function refuse(message) {
  process.stderr.write(`${message}\n${USAGE}`);
  process.exit(2);
}

function parse() {
  try {
    const { values, positionals } = parseArgs({ options: { port: { type: 'string' }, stay: { type: 'boolean' } }, allowPositionals: true });
    const [name, ...more] = positionals;
    const port = values.port === undefined ? undefined : Number(values.port);
    if (more.length > 0) refuse(`One server at a time, not ${positionals.join(', ')}.`);
    if (name !== undefined && !SERVER_NAMES.includes(name)) refuse(`There is no server '${name}'. There are ${SERVER_NAMES.join(', ')}.`);
    if (name === undefined && (port !== undefined || values.stay)) refuse('Which server?');
    if (port !== undefined && !(Number.isInteger(port) && port > 0 && port < 65_536)) refuse(`--port ${values.port} is no port.`);
    return { name, port, stays: values.stay === true };
  } catch (error) {
    return refuse(error.message);
  }
}

function list() {
  for (const name of SERVER_NAMES) {
    process.stdout.write(`${name.padEnd(14)} ${(versionOf(name) ?? '-').padEnd(12)} ${missing(name) ?? 'can run here'}\n`);
  }
}

async function run({ name, port, stays }) {
  let server;
  let stopping = false;
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    await server?.stop();
    process.exit(0);
  };
  stopAtSignals(stop);
  if (!stays) watchStarters(stop);
  try {
    server = await startServer(name, port === undefined ? {} : { port });
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    process.exit(1);
  }
  if (!stays) stopAtEndOfInput(stop);
  const { url, connect, pid, version, logFiles } = server;
  process.stdout.write(`${JSON.stringify({ name, version, url, connect, pid })}\n`);
  process.stderr.write(`${name} ${version} runs (pid ${pid}, log ${logFiles.join(', ')}). Ctrl-C stops it and removes its data.\n`);
  await server.exited;
  if (stopping) return;
  const tails = logFiles.map((file) => fs.readFileSync(file, 'utf8').slice(-4000));
  process.stderr.write(`${name} ended by itself. The end of its log:\n${tails.join('\n')}\n`);
  await server.stop();
  process.exit(1);
}

const options = parse();
if (options.name === undefined) list();
else await run(options);
