/**
 * The command line: `millrace init | run | explain | lag | top | checkpoint | demo`. Reads arguments, calls the library, prints.
 * cli.ts is the program.
 */

import { fileURLToPath } from 'node:url';
import { inspect, parseArgs } from 'node:util';
import { type Duration, durationMs, LOG_LEVELS, type LogLevel, MillraceError, withoutSecrets } from '../core/index.ts';
import { log, raw, type Source } from '../io/index.ts';
import { describeInspection, inspectCheckpoints, packageVersion } from './checkpoint/index.ts';
import { demo } from './demo/index.ts';
import { initProject } from './init/index.ts';
import { type AllowedChanges, explain, type Job, type RunOptions, run } from './job/index.ts';
import { describeLag, lagObject, lagsOf } from './lag/index.ts';
import { lineLogger, ProgressPrinter } from './observe/index.ts';
import { describePlan, mermaidPlan } from './plan/index.ts';
import { exportState, stateLine } from './state-export/index.ts';
import { explainTask, type SharedJob, SharedPrinter, type ShareOptions, share } from './tasks/index.ts';
import { top } from './terminal/index.ts';

/** What each command takes. `millrace --help` prints all of it. */
const HELP_OF = {
  init: `  millrace init [dir]         a new project: a pipeline on the embedded log, a test, a Dockerfile, a compose file with Kafka
                              (default: this folder). Nothing is overwritten
`,
  run: `  millrace run <module>       run the pipeline that a module exports
      --workers <n>           worker threads (default: cores - 1)
      --trigger <time>        epoch length, '250ms' or '10s' (default 100ms), or availableNow: read what is there, then stop
      --drain <hold|emit>     windows that are open at a stop wait for the next run (default), or come out as they are
      --drain-timeout <time>  how long a stop may take to finish what was read (default 30s)
      --bad-rows <what>       rows that cannot be decoded: ledger (counted, default), fail, or the share above which the job fails, as 0.01
      --failed-rows <what>    rows on which a function throws: fail (default), or skip (left out and counted)
      --memory <size>         all shared memory of the job (default 1GiB)
      --at-limit <policy>     where state is larger than that allows: fail (default), pause, or spill (to disk)
      --checkpoint <dir>      keep the state there: a restart goes on from it
      --checkpoint-interval <time>   how often (default 1s)
      --checkpoint-topic <topic>     keep it in this Kafka topic as well, so that it outlives the machine
      --checkpoint-brokers <host:port,...>   of that topic
      --tasks <n>             share the job with other processes that say the same, in 1, 2, 4 ... 64 tasks, exactly-once, over Kafka
      --standby               where another process is at work with this checkpoint: wait, and take over when it ends
      --session-timeout <time>   how long that one may be silent until then (default 10s)
      --allow <what[=name]>   lets state go that a changed pipeline cannot keep: dropped, changed or new, of one operator or of all; may be repeated
      --guarantee <what>      at-least-once (default) or exactly-once, which needs --checkpoint
      --param <key=value>     handed to the module's default export; may be repeated
      --metrics <port>        serve /metrics (Prometheus), /live and /ready on 127.0.0.1; or <host>:<port>
      --dashboard <port>      serve the live page, and those, on 127.0.0.1; or <host>:<port>
      --log-level <level>     what happens in the life of the job, as lines on stderr: debug, info, warn or error
      --json                  progress, and the lines of the log, as one JSON object a line
`,
  explain: `  millrace explain <module>   print the plan
      --mermaid               as a Mermaid flowchart
      --tasks <n>             of a task, where so many share the job: what goes between them
      --param <key=value>     handed to the module's default export; may be repeated
`,
  lag: `  millrace lag <module>       how far the groups of its sources have got, by partition; the job may run
      --param <key=value>     handed to the module's default export; may be repeated
  millrace lag --brokers <host:port,...> --topic <topic> --group <group>   of a group on Kafka, without a module
  millrace lag --dir <folder> --topic <topic> --group <group>   of a group of the embedded log
      --json                  as one JSON object
`,
  top: `  millrace top <url>          a running job in the terminal; <url> is what it serves with --metrics or --dashboard
      --interval <time>       how often (default 2s)
      --once                  one screen, with the rates of one interval
`,
  checkpoint: `  millrace checkpoint inspect <dir>   what is in a checkpoint directory, and whether it is whole; a job may be running there
      --json                  as one JSON object
  millrace checkpoint export <dir>   the rows of its newest state, as JSON lines; a job may be running there
      --pipeline <module>     the pipeline that wrote it: rows behind the last full copy of the state go through its functions
      --param <key=value>     handed to the module's default export; may be repeated
      --operator <name>       only of this one, as "aggregate 1"
`,
  demo: `  millrace demo               make page clicks, count them per page and minute, check the result
      --rows <n>              clicks (default 5000000)
      --workers <n>           worker threads (default: at least 2)
      --trigger <time>        epoch length
      --brokers <host:port>   through Kafka instead of the embedded log
      --format <json|arrow>   how clicks are written (default json)
      --sink-delay <time>     slow the sink down by this much an epoch
      --processes <n>         so many processes share the job, exactly-once; with --brokers
      --tasks <n>             in so many tasks (default 8)
      --kill-every <time>     kill -9 the job about so often, exactly-once, on the embedded log
      --kills <n>             at most so many times
      --seed <n>              other clicks
      --metrics <port>        serve /metrics, /live and /ready while the job runs
      --dashboard <port>      serve the live page, and those, while the job runs
      --log-level <level>     what happens in its life: debug, info, warn or error
      --json                  end with one line of JSON
`,
};

const HELP = `millrace: stream processing on worker threads

${HELP_OF.init}${HELP_OF.run}${HELP_OF.explain}${HELP_OF.lag}${HELP_OF.top}${HELP_OF.checkpoint}${HELP_OF.demo}  millrace --help, --version
`;

/** Wrong arguments: exit code 2. */
class UsageError extends Error {}

async function main(args: string[]): Promise<number> {
  const [command, ...rest] = args;
  if (rest.includes('--help') || rest.includes('-h')) {
    console.log(isCommand(command) ? HELP_OF[command] : HELP);
    return 0;
  }
  switch (command) {
    case 'init':
      return initCommand(rest);
    case 'run':
      return runCommand(rest);
    case 'explain':
      return explainCommand(rest);
    case 'lag':
      return lagCommand(rest);
    case 'top':
      return topCommand(rest);
    case 'checkpoint':
      return checkpointCommand(rest);
    case 'demo':
      return demoCommand(rest);
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
      throw new UsageError(command === undefined ? 'a command is missing' : `there is no command ${JSON.stringify(command)}`);
  }
}

function isCommand(name: string | undefined): name is keyof typeof HELP_OF {
  return name !== undefined && Object.hasOwn(HELP_OF, name);
}

async function runCommand(args: string[]): Promise<number> {
  const { values, positionals } = parse(args, {
    workers: { type: 'string' },
    trigger: { type: 'string' },
    drain: { type: 'string' },
    'drain-timeout': { type: 'string' },
    'bad-rows': { type: 'string' },
    'failed-rows': { type: 'string' },
    memory: { type: 'string' },
    'at-limit': { type: 'string' },
    checkpoint: { type: 'string' },
    'checkpoint-interval': { type: 'string' },
    'checkpoint-topic': { type: 'string' },
    'checkpoint-brokers': { type: 'string' },
    tasks: { type: 'string' },
    standby: { type: 'boolean' },
    'session-timeout': { type: 'string' },
    allow: { type: 'string', multiple: true },
    guarantee: { type: 'string' },
    param: { type: 'string', multiple: true },
    metrics: { type: 'string' },
    dashboard: { type: 'string' },
    'log-level': { type: 'string' },
    json: { type: 'boolean' },
  });
  if (values['checkpoint-interval'] !== undefined && values.checkpoint === undefined && values['checkpoint-topic'] === undefined) {
    throw new UsageError('--checkpoint-interval goes with --checkpoint <dir>');
  }
  if ((values['checkpoint-topic'] === undefined) !== (values['checkpoint-brokers'] === undefined)) {
    throw new UsageError('--checkpoint-topic and --checkpoint-brokers go together');
  }
  if (values.allow !== undefined && values.checkpoint === undefined && values['checkpoint-topic'] === undefined)
    throw new UsageError('--allow goes with --checkpoint <dir>');
  const isJson = values.json === true;
  const watched = observed(values);
  const { logger } = watched;
  const options: RunOptions = {
    ...watched,
    ...option('workers', values.workers === undefined ? undefined : wholeNumber('workers', values.workers as string)),
    ...option('trigger', values.trigger as RunOptions['trigger']),
    ...option('drain', values.drain as RunOptions['drain']),
    ...option('drainTimeout', values['drain-timeout'] as RunOptions['drainTimeout']),
    ...option('badRows', badRows(values['bad-rows'] as string | undefined)),
    ...option('failedRows', values['failed-rows'] as RunOptions['failedRows']),
    ...option('memory', memory(values.memory as Memory['limit'], values['at-limit'] as Memory['atLimit'])),
    ...option('checkpoint', checkpoint(values as Readonly<Record<string, string | undefined>>, values.allow as string[] | undefined)),
    ...option('standby', values.standby as boolean | undefined),
    ...option('sessionTimeout', values['session-timeout'] as Duration | undefined),
    ...option('guarantee', values.guarantee as RunOptions['guarantee']),
    params: params(values.param as string[] | undefined),
  };
  const printer = new ProgressPrinter(isJson ? 'json' : 'text');
  const warn = (message: string): void => (logger === undefined ? printer.warn(message) : logger.warn({}, withoutSecrets(message)));
  const unlisten = listenToWarnings(warn);
  try {
    if (values.tasks !== undefined) {
      await followShared(
        await share(oneModule(positionals), { ...options, tasks: wholeNumber('tasks', values.tasks as string) } as ShareOptions),
        isJson,
        logger === undefined ? warn : undefined,
      );
      return 0;
    }
    const job = await run(oneModule(positionals), options);
    // The log has them by itself.
    if (logger === undefined) job.on('warning', warn);
    if (job.url !== undefined && logger === undefined && !isJson) console.error(`metrics at ${job.url}/metrics`);
    if (job.dashboardUrl !== undefined && logger === undefined && !isJson) console.error(`live page at ${job.dashboardUrl}/`);
    await follow(job, printer, warn);
  } finally {
    unlisten();
  }
  return 0;
}

/** Says how far a job is, until it is over; the first signal stops it. */
async function follow(job: Job, printer: ProgressPrinter, warn: (message: string) => void): Promise<void> {
  if (job.sinkNames.length > 0 && job.sinkNames.every((name) => name === 'collect')) {
    warn('The only sink is collect(), which keeps the rows for a program: nothing will be seen of them here. To print them, end with .to(stdout()).');
  }
  printer.start(job.progress());
  job.on('progress', (progress) => printer.show(progress));
  await untilOver(job, (message) => printer.warn(message)).finally(() => printer.end(job.progress()));
}

/** @param warn undefined: the log has the warnings by itself */
async function followShared(job: SharedJob, isJson: boolean, warn: ((message: string) => void) | undefined): Promise<void> {
  const printer = new SharedPrinter(isJson);
  if (warn !== undefined) job.on('warning', warn);
  job.on('progress', (progress) => printer.show(progress));
  await untilOver(job, warn ?? (() => {})).finally(() => printer.end(job.progress()));
}

/** Waits for the end of a job; the first signal stops it. */
async function untilOver(job: Pick<Job, 'done'> & { stop(): Promise<unknown> }, say: (message: string) => void): Promise<void> {
  let isStopping = false;
  const stop = (signal: NodeJS.Signals) => {
    if (isStopping) {
      console.error(`millrace: a second ${signal}: the job ends at once. What was not committed is read again.`);
      process.exit(signal === 'SIGINT' ? 130 : 143);
    }
    isStopping = true;
    say(`${signal}: what was read is finished and committed, within the drain timeout; a second signal ends at once`);
    // `done` reports what goes wrong meanwhile.
    job.stop().catch(() => {});
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  try {
    await job.done;
  } finally {
    process.removeListener('SIGINT', stop);
    process.removeListener('SIGTERM', stop);
  }
}

function checkpoint(values: Readonly<Record<string, string | undefined>>, allow: string[] | undefined): RunOptions['checkpoint'] {
  const { checkpoint: dir, 'checkpoint-topic': topic, 'checkpoint-brokers': brokers = '' } = values;
  const rest = { ...option('interval', values['checkpoint-interval'] as Duration | undefined), ...option('allow', allowed(allow)) };
  if (topic !== undefined) return { kafka: { brokers: brokers.split(','), topic }, ...option('dir', dir), ...rest };
  return dir === undefined ? undefined : { dir, ...rest };
}

/** `dropped=aggregate 2`: this one; `dropped`: all of them. */
function allowed(changes: readonly string[] | undefined): AllowedChanges | undefined {
  if (changes === undefined) return undefined;
  const names: { -readonly [K in keyof AllowedChanges]: true | string[] } = {};
  for (const change of changes) {
    const [, what, name] = /^(dropped|changed|new)(?:=(.+))?$/.exec(change) ?? [];
    if (what === undefined) throw new UsageError(`--allow is ${JSON.stringify(change)}: give dropped, changed or new, or one name as in "dropped=aggregate 2"`);
    const known = names[what as keyof AllowedChanges];
    names[what as keyof AllowedChanges] = known === true || name === undefined ? true : [...(known ?? []), name];
  }
  return names;
}

/**
 * Our own warnings as lines: those of a start, which has no job to listen to yet, and of connections. What others
 * warn of stays as Node prints it.
 *
 * @returns ends it
 */
function listenToWarnings(print: (message: string) => void): () => void {
  const others = process.listeners('warning');
  const listener = (warning: Error): void => {
    if (warning.name === 'MillraceWarning') print(warning.message);
    else for (const other of others) other.call(process, warning);
  };
  process.removeAllListeners('warning');
  process.on('warning', listener);
  return () => {
    process.removeListener('warning', listener);
    for (const other of others) process.on('warning', other);
  };
}

async function initCommand(args: string[]): Promise<number> {
  const { positionals } = parse(args, {});
  if (positionals.length > 1) throw new UsageError(`give one folder, not ${positionals.length}`);
  const [dir = '.'] = positionals;
  const { dir: root, files, needsInstall } = await initProject(dir);
  const steps = [...(root === process.cwd() ? [] : [`cd ${JSON.stringify(dir)}`]), ...(needsInstall ? ['npm install'] : []), 'npm test', 'npm start'];
  console.log(`${files.length} files in ${root}:\n${files.map((file) => `  ${file}\n`).join('')}\nNext:\n${steps.map((step) => `  ${step}\n`).join('')}
src/clicks.ts is the pipeline. The live page is at http://127.0.0.1:4000/ once npm start runs.`);
  return 0;
}

async function explainCommand(args: string[]): Promise<number> {
  const { values, positionals } = parse(args, { mermaid: { type: 'boolean' }, tasks: { type: 'string' }, param: { type: 'string', multiple: true } });
  const of = params(values.param as string[] | undefined);
  const plan =
    values.tasks === undefined
      ? await explain(oneModule(positionals), of)
      : await explainTask(oneModule(positionals), of, wholeNumber('tasks', values.tasks as string));
  console.log(values.mermaid === true ? mermaidPlan(plan) : describePlan(plan));
  return 0;
}

async function lagCommand(args: string[]): Promise<number> {
  const { values, positionals } = parse(args, {
    brokers: { type: 'string' },
    dir: { type: 'string' },
    topic: { type: 'string' },
    group: { type: 'string' },
    param: { type: 'string', multiple: true },
    json: { type: 'boolean' },
  });
  const { brokers, dir, topic, group } = values as Readonly<Record<string, string | undefined>>;
  let sources: readonly Source[];
  if (brokers === undefined && dir === undefined) {
    if (topic !== undefined || group !== undefined) throw new UsageError('--topic and --group go with --brokers <host:port,...>, or with --dir <folder>');
    sources = (await explain(oneModule(positionals), params(values.param as string[] | undefined))).sources.map(({ source }) => source);
  } else {
    if (positionals.length > 0 || values.param !== undefined) throw new UsageError('give a module, or --brokers or --dir with --topic and --group');
    if (brokers !== undefined && dir !== undefined) throw new UsageError('give --brokers or --dir, not both');
    if (topic === undefined || group === undefined) throw new UsageError('--topic <topic> and --group <group> are missing');
    const value = raw();
    sources = [
      brokers === undefined
        ? log.source({ dir: dir as string, topic, group, value })
        : (await import('../io/kafka/index.ts')).kafka.source({ brokers: brokers.split(','), topic, group, value }),
    ];
  }
  const { lags, without } = await lagsOf(sources, new AbortController().signal);
  for (const name of without) console.error(`millrace: ${name} has no group`);
  console.log(values.json === true ? JSON.stringify(lagObject(lags)) : describeLag(lags));
  return 0;
}

async function topCommand(args: string[]): Promise<number> {
  const { values, positionals } = parse(args, { interval: { type: 'string' }, once: { type: 'boolean' } });
  if (positionals.length !== 1) throw new UsageError(`give one URL, not ${positionals.length}`);
  await top(positionals[0] as string, { intervalMs: durationMs((values.interval ?? '2s') as Duration, '--interval', 100), once: values.once === true });
  return 0;
}

/** Fails where something is damaged, or there is no checkpoint. */
async function checkpointCommand(args: string[]): Promise<number> {
  const { values, positionals } = parse(args, {
    json: { type: 'boolean' },
    pipeline: { type: 'string' },
    param: { type: 'string', multiple: true },
    operator: { type: 'string' },
  });
  const [action, dir, ...more] = positionals;
  if (action !== 'inspect' && action !== 'export')
    throw new UsageError(action === undefined ? 'checkpoint inspect or export, and a directory' : `checkpoint has no ${JSON.stringify(action)}`);
  if (dir === undefined || more.length > 0) throw new UsageError(`give one directory, not ${positionals.length - 1}`);
  if (action === 'export') {
    const { pipeline, param, operator } = values as { readonly pipeline?: string; readonly param?: string[]; readonly operator?: string };
    return exportCommand(dir, pipeline, params(param), operator);
  }
  for (const name of ['pipeline', 'param', 'operator']) if (values[name] !== undefined) throw new UsageError(`--${name} goes with checkpoint export`);
  const found = await inspectCheckpoints(dir, { segments: true });
  console.log(values.json === true ? JSON.stringify(found, infiniteAsText) : describeInspection(found, Date.now()));
  return found.damaged.length === 0 && found.checkpoints.length > 0 ? 0 : 1;
}

const LINES_BYTES = 1 << 16;

/** State to stdout; what is damaged, or not shown, to stderr. */
async function exportCommand(dir: string, module: string | undefined, of: Record<string, string>, operator: string | undefined): Promise<number> {
  if (module === undefined) {
    throw new UsageError(
      'checkpoint export needs --pipeline <module>: a checkpoint is a copy of each shard and the rows that came behind it, which go through the functions of the pipeline',
    );
  }
  const found = await exportState(dir, await explain(module, of), operator);
  try {
    for (const note of found.notes) console.error(`millrace: ${note}`);
    let lines = '';
    for (const { operator: name, row } of found.rows) {
      lines += `${stateLine(name, row)}\n`;
      if (lines.length < LINES_BYTES) continue;
      if (!(await written(lines))) return 0;
      lines = '';
    }
    await written(lines);
  } finally {
    found.close();
  }
  return 0;
}

/** @returns false: the reader of stdout is gone */
function written(text: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => {
      if (error === null || error === undefined) resolve(true);
      else if ((error as NodeJS.ErrnoException).code === 'EPIPE') resolve(false);
      else reject(error);
    });
  });
}

/** JSON has no infinite numbers. */
function infiniteAsText(_: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
}

async function demoCommand(args: string[]): Promise<number> {
  const { values, positionals } = parse(args, {
    rows: { type: 'string' },
    workers: { type: 'string' },
    trigger: { type: 'string' },
    brokers: { type: 'string' },
    format: { type: 'string' },
    'sink-delay': { type: 'string' },
    processes: { type: 'string' },
    tasks: { type: 'string' },
    'kill-every': { type: 'string' },
    kills: { type: 'string' },
    seed: { type: 'string' },
    metrics: { type: 'string' },
    dashboard: { type: 'string' },
    'log-level': { type: 'string' },
    json: { type: 'boolean' },
  });
  if (positionals.length > 0) throw new UsageError(`demo takes no ${JSON.stringify(positionals[0])}`);
  const format = values.format ?? 'json';
  if (format !== 'json' && format !== 'arrow') throw new UsageError(`--format is ${JSON.stringify(format)}: give json or arrow`);
  if (values['kill-every'] !== undefined) {
    const other = ['brokers', 'trigger', 'sink-delay', 'metrics', 'dashboard', 'log-level'].find((name) => values[name] !== undefined);
    if (other !== undefined) throw new UsageError(`--kill-every goes without --${other}`);
  }
  if (values.processes !== undefined) {
    const other = ['workers', 'sink-delay', 'kill-every', 'metrics', 'dashboard', 'log-level'].find((name) => values[name] !== undefined);
    if (other !== undefined) throw new UsageError(`--processes goes without --${other}`);
    if (values.brokers === undefined) throw new UsageError('--processes goes with --brokers <host:port>: processes share a job over Kafka');
    if (format !== 'json') throw new UsageError('--processes goes with --format json');
  } else if (values.tasks !== undefined) throw new UsageError('--tasks goes with --processes <n>');
  if (values.kills !== undefined && values['kill-every'] === undefined) throw new UsageError('--kills goes with --kill-every <time>');
  const number = (name: string) => (values[name] === undefined ? undefined : wholeNumber(name, values[name] as string));
  const isVerified = await demo({
    ...option('rows', number('rows')),
    ...option('workers', number('workers')),
    ...option('seed', number('seed')),
    ...option('processes', number('processes')),
    ...option('tasks', number('tasks')),
    ...option('trigger', values.trigger as Duration | undefined),
    ...option('brokers', values.brokers as string | undefined),
    ...option('sinkDelay', values['sink-delay'] as Duration | undefined),
    ...option('kills', number('kills')),
    ...option('killEvery', values['kill-every'] as Duration | undefined),
    ...observed(values),
    format,
    json: values.json === true,
  });
  return isVerified ? 0 : 1;
}

type ArgumentOptions = NonNullable<NonNullable<Parameters<typeof parseArgs>[0]>['options']>;

function parse(args: string[], options: ArgumentOptions) {
  try {
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function oneModule(positionals: readonly string[]): string {
  if (positionals.length !== 1) throw new UsageError(`give one module, not ${positionals.length}`);
  return positionals[0] as string;
}

function badRows(value: string | undefined): RunOptions['badRows'] {
  if (value === undefined || value === 'ledger' || value === 'fail') return value;
  return { fail: { above: value.trim() === '' ? Number.NaN : Number(value) } };
}

type Memory = Exclude<RunOptions['memory'], string | number | undefined>;

function memory(limit: Memory['limit'], atLimit: Memory['atLimit']): RunOptions['memory'] {
  return atLimit === undefined ? limit : { ...option('limit', limit), atLimit };
}

/** What shows a job to others. */
function observed(values: Readonly<Record<string, unknown>>): Pick<RunOptions, 'logger' | 'metrics' | 'dashboard'> {
  const { metrics, dashboard, 'log-level': level, json } = values;
  return {
    ...option('logger', level === undefined ? undefined : lineLogger({ level: logLevel(level as string), json: json === true })),
    ...option('metrics', metrics === undefined ? undefined : place('metrics', metrics as string)),
    ...option('dashboard', dashboard === undefined ? undefined : place('dashboard', dashboard as string)),
  };
}

function logLevel(value: string): LogLevel {
  const level = LOG_LEVELS.find((one) => one === value);
  if (level === undefined) throw new UsageError(`--log-level is ${JSON.stringify(value)}: give one of ${LOG_LEVELS.join(', ')}`);
  return level;
}

/** `9464`, `0.0.0.0:9464` or `[::]:9464`. */
function place(name: string, value: string): { readonly host?: string; readonly port: number } {
  const [, bracketed, plain, port] = /^(?:(?:\[([^\]]+)\]|([^:]+)):)?(\d+)$/.exec(value) ?? [];
  if (port === undefined) throw new UsageError(`--${name} is ${JSON.stringify(value)}: give a port, or host:port`);
  return { ...option('host', bracketed ?? plain), port: Number(port) };
}

function wholeNumber(name: string, value: string): number {
  if (!/^\d+$/.test(value)) throw new UsageError(`--${name} is ${JSON.stringify(value)}: give a whole number`);
  return Number(value);
}

function params(pairs: readonly string[] = []): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1) throw new UsageError(`--param is ${JSON.stringify(pair)}: give key=value`);
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

function option<K extends string, V>(name: K, value: V | undefined): { [P in K]?: V } {
  return (value === undefined ? {} : { [name]: value }) as { [P in K]?: V };
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
