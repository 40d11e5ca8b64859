/** The Redis sink: workers write commands, this end sends them in pipelines, over sockets of its own. */

import { MillraceError, withoutSign } from '../../core/index.ts';
import {
  DeliveryWriter,
  deliverySettings,
  type RecordFault,
  type Records,
  recordBlockEncoder,
  type Transport,
  Unavailable,
  untilOpen,
} from '../delivery/index.ts';
import { type ChangelogSink, changelogOf } from '../sink.ts';
import { Connection, type Reply } from './connection.ts';
import { commandEncoder, commandsOf } from './encode.ts';
import { addressOf, checkColumns, checkOptions, nameOf, type RedisAddress, type RedisSinkOptions, upsertKeyOf } from './options.ts';

const REQUEST = { requestRows: 5_000, requestBytes: 1_024 * 1_024 };

/**
 * Writes hashes, sorted sets or streams of Redis 4 and later, without a client.
 *
 * `hash` and `sortedSet` are idempotent: a row replaces the hash of its key (fields that are null now go), or the score
 * of its member; rows of a table that go are deleted. `stream` is at-least-once. A row that the server refuses (its key
 * holds another type, a score is NaN) goes to the ledger. What was answered is as durable as the server's own settings
 * make it (appendfsync). One server, or the master of several: of a cluster it is told which node has a key, and ends.
 *
 * @example redis.sink({ url: 'redis://127.0.0.1:6379', type: 'hash', prefix: 'page:', key: 'page' })
 * @example redis.sink({ url, type: 'sortedSet', prefix: 'top:', key: 'region', member: 'page', score: 'clicks' })
 * @throws MillraceError ERR_MILLRACE_OPTION. The job fails with ERR_MILLRACE_SINK when the server refuses user or
 * database, or is away for longer than deliveryTimeout.
 */
export function sink<R>(options: RedisSinkOptions): ChangelogSink<R> {
  const name = nameOf(options);
  checkOptions(name, options);
  const address = addressOf(name, options.url);
  const settings = deliverySettings(name, options, REQUEST);
  const upsertKey = upsertKeyOf(options);
  return {
    name,
    delivery: options.type === 'stream' ? 'at-least-once' : 'idempotent',
    changelog: changelogOf(name, options.changelog),
    upsertKey,
    check: (schema) => checkColumns(name, options, withoutSign(schema)),
    async open(context) {
      const place = `${name} at ${address.host}:${address.port}`;
      const open = (signal: AbortSignal): Promise<Connection> => connected(name, address, options, signal);
      await untilOpen(place, settings, context, async (signal) => (await open(signal)).destroy());
      return new DeliveryWriter(new Pipelines(name, open, commandsOf(options, withoutSign(context.schema))), settings, { ...context, name: place });
    },
    encoder: (context) => recordBlockEncoder(context, commandEncoder(context, context.schema, options)),
  };
}

/** A connection that has shown its password, and has the database. */
async function connected(name: string, address: RedisAddress, { ssl = {} }: RedisSinkOptions, signal: AbortSignal): Promise<Connection> {
  const { username, password, database } = address;
  const connection = await Connection.open(address, ssl, signal);
  try {
    const commands = [
      ...(password === '' ? [] : [['AUTH', ...(username === '' ? [] : [username]), password]]),
      ...(database === 0 ? [] : [['SELECT', String(database)]]),
      ['PING'],
    ];
    for (const command of commands) mustBeWell(name, await connection.command(signal, ...command));
    return connection;
  } catch (error) {
    connection.destroy();
    throw error;
  }
}

/** A state of the server that passes. */
const PASSING = /^(LOADING|MASTERDOWN|BUSY|TRYAGAIN|CLUSTERDOWN|READONLY|OOM|MISCONF|NOREPLICAS|ERR max number of clients)/;
/** Of the server or the user, not of a row. */
const FATAL =
  /^(NOAUTH|WRONGPASS|NOPERM|MOVED|ASK|CROSSSLOT|ERR unknown command|ERR invalid password|ERR Client sent AUTH|ERR AUTH|ERR DB index|ERR invalid DB|EXECABORT)/;

function mustBeWell(name: string, reply: Reply): void {
  if (reply === undefined) return;
  if (PASSING.test(reply)) throw new Unavailable(`Redis says: ${reply}`);
  throw refusal(name, reply);
}

function refusal(name: string, reply: string): MillraceError {
  const hint = /^(MOVED|ASK|CROSSSLOT)/.test(reply)
    ? ' It is a node of a cluster, which this sink does not write to. Give a server of its own, or a proxy of the cluster.'
    : /^(NOAUTH|WRONGPASS|NOPERM|ERR (invalid password|Client sent AUTH|AUTH))/.test(reply)
      ? ' Check user and password in url, and what the user may do.'
      : '';
  return new MillraceError('ERR_MILLRACE_SINK', `${name}: Redis refuses: ${reply}.${hint}`);
}

/** One connection a lane. */
class Pipelines implements Transport {
  readonly #name: string;
  readonly #open: (signal: AbortSignal) => Promise<Connection>;
  readonly #commands: number;
  readonly #connections = new Map<number, Connection>();

  /** @param commands of each record */
  constructor(name: string, open: (signal: AbortSignal) => Promise<Connection>, commands: number) {
    this.#name = name;
    this.#open = open;
    this.#commands = commands;
  }

  async send(records: Records, signal: AbortSignal): Promise<readonly RecordFault[]> {
    const { lane, chunks, count } = records;
    let connection = this.#connections.get(lane);
    if (connection === undefined || connection.isOver) this.#connections.set(lane, (connection = await this.#open(signal)));
    const replies = await connection.send(chunks, count * this.#commands, signal);
    const faults: RecordFault[] = [];
    for (let i = 0; i < replies.length; i++) {
      const message = replies[i];
      const record = Math.floor(i / this.#commands);
      if (message === undefined || faults.at(-1)?.record === record) continue;
      if (FATAL.test(message)) throw refusal(this.#name, message);
      faults.push({ record, isRetriable: PASSING.test(message), message });
    }
    return faults;
  }

  async close(): Promise<void> {
    for (const connection of this.#connections.values()) connection.destroy();
    this.#connections.clear();
  }
}
