/** The HDFS sink: files as of files.sink, in a folder of HDFS, over WebHDFS. It needs no client. */

import { checkOptionNames, type Duration, MillraceError, shown, shownPath } from '../../core/index.ts';
import { deliverySettings, Patience } from '../delivery/index.ts';
import { HTTP_OPTIONS, HttpClient, type HttpConnectionOptions } from '../http/index.ts';
import type { Changelog, ChangelogSink, Sink } from '../sink.ts';
import { FILES_OPTIONS, type FilesOptions, storeSink } from '../store/index.ts';
import { HdfsStore } from './store.ts';
import { WebHdfs } from './web-hdfs.ts';

export interface HdfsSinkOptions extends FilesOptions, HttpConnectionOptions {
  /** The NameNode's web address, `http://namenode:9870`, or those of all NameNodes; also that of HttpFS or a gateway. */
  readonly url: string | readonly string[];
  /** The folder, absolute: `/data/clicks`. It is created if it does not exist. */
  readonly path: string;
  /** Who writes, where the cluster takes names as they are (`user.name`). */
  readonly user?: string;
  /** A delegation token, as of `hdfs fetchdt`, where the cluster asks for Kerberos. It is not renewed. */
  readonly delegation?: string;
  /** Copies of each block. Default: the cluster's. */
  readonly replication?: number;
  /** Bytes that are sent at once, and in memory for each file that is being written. Default 32 MiB; at least 1 MiB. */
  readonly partBytes?: number;
  /** How long one request may take. Default `'30s'`. */
  readonly requestTimeout?: Duration;
  /** How long a cluster that is away or in safe mode is waited for, before the job fails. Default `'2m'`. */
  readonly deliveryTimeout?: Duration;
}

const OPTIONS = {
  ...FILES_OPTIONS,
  ...HTTP_OPTIONS,
  path: true,
  user: true,
  delegation: true,
  replication: true,
  partBytes: true,
  requestTimeout: true,
  deliveryTimeout: true,
} as const;

const PART_BYTES = 32 * 1_024 * 1_024;
const PART_BYTES_MIN = 1_024 * 1_024;
const CONNECTIONS = 8;

/**
 * Writes files to HDFS. Names, formats and guarantees are those of files.sink: each file appears whole, when its
 * epoch or its checkpoint is committed, and the sink is exactly-once where the job is. The newest writer of the
 * same names shuts an older one out.
 *
 * @example
 * hdfs.sink({ url: 'http://namenode:9870', path: '/averages', user: 'etl', name: '{windowStart:yyyy-MM-dd_HH-mm}', value: csv() })
 * @throws MillraceError ERR_MILLRACE_OPTION, ERR_MILLRACE_PIPELINE as files.sink. The job fails with
 * ERR_MILLRACE_SINK when the cluster refuses the login or a file, or is away for longer than deliveryTimeout.
 */
export function sink(options: HdfsSinkOptions & { readonly changelog: Changelog }): ChangelogSink;
export function sink(options: HdfsSinkOptions): Sink;
export function sink(options: HdfsSinkOptions): Sink {
  const what = 'hdfs.sink';
  checkOptionNames(what, options, OPTIONS);
  const { path, user, delegation, replication, partBytes = PART_BYTES } = options;
  const refused = (message: string): MillraceError => new MillraceError('ERR_MILLRACE_OPTION', `${what}: ${message}`);
  if (typeof path !== 'string' || !/^\/(?:[^/]+(?:\/[^/]+)*)?$/.test(path) || /(^|\/)\.{1,2}(\/|$)|:/.test(path))
    throw refused(
      `path is ${shownPath(path)}; it must be an absolute folder of HDFS without ":" and "..", such as '/data/clicks'. The cluster's address goes into url.`,
    );
  for (const [name, value] of [
    ['user', user],
    ['delegation', delegation],
  ] as const)
    if (value !== undefined && (typeof value !== 'string' || value === ''))
      throw refused(`${name} is ${name === 'user' ? shown(value) : 'no text, or an empty one'}; it must be a text.`);
  if (user !== undefined && delegation !== undefined) throw refused('user and delegation are both given. A token says who writes: leave user out.');
  if (replication !== undefined && !(Number.isInteger(replication) && replication >= 1 && replication <= 512))
    throw refused(`replication is ${shown(replication)}; it must be a whole number from 1 to 512.`);
  if (!(Number.isSafeInteger(partBytes) && partBytes >= PART_BYTES_MIN && partBytes <= 1 << 30))
    throw refused(`partBytes is ${shown(partBytes)}; it must be a whole number of bytes, ${PART_BYTES_MIN} (1 MiB) to 1 GiB.`);
  const { requestTimeout, deliveryTimeout } = options;
  const timeouts = { ...(requestTimeout !== undefined && { requestTimeout }), ...(deliveryTimeout !== undefined && { deliveryTimeout }) };
  const settings = deliverySettings(what, timeouts, { requestRows: 1, requestBytes: 1 });
  const probe = new HttpClient(what, options, CONNECTIONS);
  probe.close();
  const folder = path === '/' ? '' : path;
  const place = `hdfs ${probe.place}${path}`;
  return storeSink(
    {
      what,
      name: `hdfs ${path}`,
      place,
      async open(context) {
        const client = new HttpClient(what, options, CONNECTIONS);
        const identity: Record<string, string> = delegation !== undefined ? { delegation } : user !== undefined ? { 'user.name': user } : {};
        const patience = new Patience(place, settings, context);
        const web = new WebHdfs(what, client, patience, identity);
        const create: Record<string, string> = replication === undefined ? {} : { replication: String(replication) };
        try {
          return await HdfsStore.open(place, web, patience, { path: folder, partBytes, create }, context);
        } catch (error) {
          web.close();
          throw error;
        }
      },
    },
    options,
  );
}
