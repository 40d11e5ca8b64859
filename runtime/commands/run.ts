/** `millrace run`: a job from its start to its end, alone or sharing it with other processes. */

import { type Duration, withoutSecrets } from '../../core/index.ts';
import { type AllowedChanges, type Job, type RunOptions, run } from '../job/index.ts';
import { ProgressPrinter } from '../observe/index.ts';
import { type SharedJob, SharedPrinter, type ShareOptions, share } from '../tasks/index.ts';
import { type Command, observed, oneModule, option, params, parse, UsageError, wholeNumber } from './arguments.ts';

const HELP = `  millrace run <module>       run the pipeline that a module exports
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
`;

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

function badRows(value: string | undefined): RunOptions['badRows'] {
  if (value === undefined || value === 'ledger' || value === 'fail') return value;
  return { fail: { above: value.trim() === '' ? Number.NaN : Number(value) } };
}

type Memory = Exclude<RunOptions['memory'], string | number | undefined>;

function memory(limit: Memory['limit'], atLimit: Memory['atLimit']): RunOptions['memory'] {
  return atLimit === undefined ? limit : { ...option('limit', limit), atLimit };
}

export const RUN: Command = { help: HELP, run: runCommand };
