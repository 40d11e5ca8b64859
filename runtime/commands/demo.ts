/** `millrace demo`: the job that checks itself. */

import type { Duration } from '../../core/index.ts';
import { demo } from '../demo/index.ts';
import { type Command, observed, option, parse, UsageError, wholeNumber } from './arguments.ts';

const HELP = `  millrace demo               make page clicks, count them per page and minute, check the result
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
`;

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

export const DEMO: Command = { help: HELP, run: demoCommand };
