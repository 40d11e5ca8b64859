/** The options of `http.source`. */

import type { ServerOptions } from 'node:https';
import { checkOptionNames, type Duration, durationMs, MillraceError, shown } from '../../core/index.ts';
import type { Codec } from '../codec.ts';

export interface HttpSourceOptions<R = unknown> {
  /** 1 to 65535. */
  readonly port: number;
  /** The interface to listen on. Default `127.0.0.1`: this machine alone. */
  readonly host?: string;
  /** Default `/`. */
  readonly path?: string;
  /** What a row is: `json({...})`, or with `format: 'lines'` csv or text. */
  readonly value: Codec<R>;
  /**
   * `json` (default): an array of rows, one row, or one a line; so Logstash's output `http` fits in all of its formats.
   * `lines`: each line is a row. `flume`: the events of Flume's HTTP source, `[{"headers":{},"body":"..."}]`, whose
   * bodies are the rows.
   */
  readonly format?: 'json' | 'lines' | 'flume';
  /** Folder in which accepted rows wait, as a topic of the embedded log. One job at a time. */
  readonly dir: string;
  /** Who sends has to show it: `Authorization: Bearer <token>`. */
  readonly token?: string;
  /** HTTPS: as for `https.createServer`: `cert`, `key`, `ca` and `requestCert`, ... */
  readonly ssl?: ServerOptions;
  /** Most bytes of a body, also when it is decompressed. Default 16 MiB. */
  readonly bodyBytesMax?: number;
  /** With more bytes accepted and not committed, requests are answered by 429. Default 1 GiB. */
  readonly backlogBytesMax?: number;
  /** How long rows that are committed are kept on disk, for a start from an older checkpoint. Default `'1h'`. */
  readonly retain?: Duration;
}

const OPTIONS = {
  port: true,
  host: true,
  path: true,
  value: true,
  format: true,
  dir: true,
  token: true,
  ssl: true,
  bodyBytesMax: true,
  backlogBytesMax: true,
  retain: true,
} as const;

const HOUR_MS = 3_600_000;

export interface ListenerLimits {
  readonly bodyBytesMax: number;
  readonly backlogBytesMax: number;
}

export interface HttpSourceSettings extends ListenerLimits {
  readonly retainMs: number;
}

/** @throws MillraceError ERR_MILLRACE_OPTION */
export function sourceSettings(options: HttpSourceOptions): HttpSourceSettings {
  checkOptionNames('http.source', options, OPTIONS);
  const refused = (message: string): MillraceError => new MillraceError('ERR_MILLRACE_OPTION', `http.source: ${message}`);
  const { port, host, path, value, format = 'json', dir, token, retain = HOUR_MS } = options;
  if (!(Number.isInteger(port) && port >= 1 && port <= 65_535)) throw refused(`port is ${shown(port)}; it must be a whole number from 1 to 65535.`);
  if (host !== undefined && (typeof host !== 'string' || host === '')) throw refused(`host is ${shown(host)}; it must be the address of an interface.`);
  if (path !== undefined && !(typeof path === 'string' && /^\/[^?#]*$/.test(path)))
    throw refused(`path is ${shown(path)}; it must begin with a slash: '/rows'.`);
  if (!['json', 'lines', 'flume'].includes(format)) throw refused(`format is ${shown(format)}; it must be 'json', 'lines' or 'flume'.`);
  if (format === 'json' && value?.name !== 'json')
    throw refused(`format is 'json', and value is ${value?.name}(). Take format: 'lines', or value: json({ ... }).`);
  if (typeof dir !== 'string' || dir === '') throw refused(`dir is ${shown(dir)}; it must be the path of a folder, in which accepted rows wait.`);
  if (token !== undefined && (typeof token !== 'string' || token === '')) throw refused('token must be a text that is not empty.');
  const bytes = (name: 'bodyBytesMax' | 'backlogBytesMax', standard: number): number => {
    const given = options[name] ?? standard;
    if (Number.isSafeInteger(given) && given >= 1) return given;
    throw refused(`${name} is ${shown(given)}; it must be a whole number above 0.`);
  };
  return {
    bodyBytesMax: bytes('bodyBytesMax', 16 << 20),
    backlogBytesMax: bytes('backlogBytesMax', 1 << 30),
    retainMs: durationMs(retain, 'http.source: retain', 0),
  };
}
