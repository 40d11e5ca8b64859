/** `millrace lag`: how far groups have got. */

import { log, raw, type Source } from '../../io/index.ts';
import { explain } from '../job/index.ts';
import { describeLag, lagObject, lagsOf } from '../lag/index.ts';
import { type Command, oneModule, params, parse, UsageError } from './arguments.ts';

const HELP = `  millrace lag <module>       how far the groups of its sources have got, by partition; the job may run
      --param <key=value>     handed to the module's default export; may be repeated
  millrace lag --brokers <host:port,...> --topic <topic> --group <group>   of a group on Kafka, without a module
  millrace lag --dir <folder> --topic <topic> --group <group>   of a group of the embedded log
      --json                  as one JSON object
`;

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
        : (await import('../../io/kafka/index.ts')).kafka.source({ brokers: brokers.split(','), topic, group, value }),
    ];
  }
  const { lags, without } = await lagsOf(sources, new AbortController().signal);
  for (const name of without) console.error(`millrace: ${name} has no group`);
  console.log(values.json === true ? JSON.stringify(lagObject(lags)) : describeLag(lags));
  return 0;
}

export const LAG: Command = { help: HELP, run: lagCommand };
