/** The S3 sink: files as of files.sink, as objects of a bucket, in S3 and in stores that speak the same. */

import type { ConnectionOptions } from 'node:tls';
import { checkOptionNames, type Duration, MillraceError, shown } from '../../core/index.ts';
import { deliverySettings, Patience } from '../delivery/index.ts';
import { HttpClient } from '../http/index.ts';
import type { Changelog, ChangelogSink, Sink } from '../sink.ts';
import { FILES_OPTIONS, type FilesOptions, storeSink } from '../store/index.ts';
import { loadSigner, S3, type S3Credentials } from './client.ts';
import { S3Store } from './store.ts';

export interface S3SinkOptions extends FilesOptions {
  readonly bucket: string;
  /** What all keys begin with, as a folder: `data/clicks`. Default: the bucket itself. */
  readonly path?: string;
  /** Default: AWS_REGION of the environment, or `us-east-1`. */
  readonly region?: string;
  /** The store's address, `http://127.0.0.1:9000`. Default: AWS, in the region. */
  readonly endpoint?: string;
  /** The bucket is in the path of the address, and not in its host. Default: true with `endpoint`, false without. */
  readonly forcePathStyle?: boolean;
  /** Keys, or a function that gives them (a provider of the AWS SDK). Default: AWS_ACCESS_KEY_ID and so on of the environment. */
  readonly credentials?: S3Credentials | (() => Promise<S3Credentials>);
  /** As for `tls.connect`. */
  readonly ssl?: ConnectionOptions;
  /** Bytes that are sent at once, and in memory for each file that is being written. Default 8 MiB; at least 5 MiB. */
  readonly partBytes?: number;
  /** How long one request may take. Default `'30s'`. */
  readonly requestTimeout?: Duration;
  /** How long a store that is away or too busy is waited for, before the job fails. Default `'2m'`. */
  readonly deliveryTimeout?: Duration;
}

const OPTIONS = {
  ...FILES_OPTIONS,
  bucket: true,
  path: true,
  region: true,
  endpoint: true,
  forcePathStyle: true,
  credentials: true,
  ssl: true,
  partBytes: true,
  requestTimeout: true,
  deliveryTimeout: true,
} as const;

const PART_BYTES = 8 * 1_024 * 1_024;
/** S3 takes no smaller ones, but for the last. */
const PART_BYTES_MIN = 5 * 1_024 * 1_024;
const CONNECTIONS = 8;

/**
 * Writes objects to S3, and to what speaks the same. Names, formats and guarantees are those of files.sink: each
 * object appears whole, when its epoch or its checkpoint is committed, and the sink is exactly-once where the job is.
 * The newest writer of the same names shuts an older one out. It needs aws4fetch: `npm i aws4fetch`.
 *
 * @example s3.sink({ bucket: 'lake', path: 'clicks', region: 'eu-central-1', name: 'dt={windowStart:yyyy-MM-dd}/{epoch}', value: json() })
 * @throws MillraceError ERR_MILLRACE_OPTION, ERR_MILLRACE_PIPELINE as files.sink. The job fails with
 * ERR_MILLRACE_SINK when the store refuses the keys, the bucket or an object, or is away for longer than
 * deliveryTimeout.
 */
export function sink(options: S3SinkOptions & { readonly changelog: Changelog }): ChangelogSink;
export function sink(options: S3SinkOptions): Sink;
export function sink(options: S3SinkOptions): Sink {
  const what = 's3.sink';
  checkOptionNames(what, options, OPTIONS);
  const { bucket, path = '', endpoint, credentials, ssl, partBytes = PART_BYTES, forcePathStyle = endpoint !== undefined } = options;
  const refused = (message: string): MillraceError => new MillraceError('ERR_MILLRACE_OPTION', `${what}: ${message}`);
  if (typeof bucket !== 'string' || !/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket))
    throw refused(`bucket is ${shown(bucket)}; it must be the name of a bucket: 3 to 63 lower-case letters, digits, "-" and ".".`);
  if (typeof path !== 'string' || /^\/|\/$|\/\/|(^|\/)\.{1,2}(\/|$)/.test(path))
    throw refused(`path is ${shown(path)}; it must be what keys begin with, without a slash at either end: 'data/clicks'.`);
  const { region = process.env['AWS_REGION'] ?? process.env['AWS_DEFAULT_REGION'] ?? 'us-east-1', requestTimeout, deliveryTimeout } = options;
  if (typeof region !== 'string' || !/^[a-z0-9-]+$/.test(region)) throw refused(`region is ${shown(region)}; it must be a region, such as 'eu-central-1'.`);
  if (typeof forcePathStyle !== 'boolean') throw refused(`forcePathStyle is ${shown(forcePathStyle)}; it must be true or false.`);
  if (!(Number.isSafeInteger(partBytes) && partBytes >= PART_BYTES_MIN && partBytes <= 1 << 30))
    throw refused(`partBytes is ${shown(partBytes)}; it must be a whole number of bytes, ${PART_BYTES_MIN} (5 MiB) to 1 GiB.`);
  if (credentials !== undefined && typeof credentials !== 'function') mustBeCredentials(credentials, refused);
  const timeouts = { ...(requestTimeout !== undefined && { requestTimeout }), ...(deliveryTimeout !== undefined && { deliveryTimeout }) };
  const settings = deliverySettings(what, timeouts, { requestRows: 1, requestBytes: 1 });
  const connection = { url: endpoint ?? `https://s3.${region}.amazonaws.com`, ...(ssl && { ssl }) };
  const probe = new HttpClient(`${what}: endpoint`, connection, CONNECTIONS);
  probe.close();
  const base = new URL(probe.place);
  if (!forcePathStyle) base.host = `${bucket}.${base.host}`;
  const url = `${base.origin}${base.pathname.replace(/\/$/, '')}${forcePathStyle ? `/${bucket}` : ''}`;
  const prefix = path === '' ? '' : `${path}/`;
  const place = `s3 ${url}/${path}`;
  return storeSink(
    {
      what,
      name: `s3 ${bucket}/${path}`,
      place,
      async open(context) {
        const signer = await loadSigner(what);
        const client = new HttpClient(what, { ...connection, url: base.origin }, CONNECTIONS);
        const patience = new Patience(place, settings, context);
        const keys = typeof credentials === 'function' ? credentials : async () => credentials ?? ofEnvironment(refused);
        const s3 = new S3(what, client, patience, { url, bucket, region, credentials: keys }, signer);
        try {
          return await S3Store.open(place, s3, patience, { prefix, partBytes }, context);
        } catch (error) {
          s3.close();
          throw error;
        }
      },
    },
    options,
  );
}

function mustBeCredentials(credentials: S3Credentials, refused: (message: string) => MillraceError): void {
  checkOptionNames('s3.sink: credentials', credentials, { accessKeyId: true, secretAccessKey: true, sessionToken: true });
  for (const name of ['accessKeyId', 'secretAccessKey'] as const)
    if (typeof credentials[name] !== 'string' || credentials[name] === '') throw refused(`credentials has no ${name}.`);
}

function ofEnvironment(refused: (message: string) => MillraceError): S3Credentials {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_SESSION_TOKEN: sessionToken } = process.env;
  if (!accessKeyId || !secretAccessKey)
    throw refused('there are no credentials. Give them, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; a provider of the AWS SDK will do, too.');
  return { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) };
}
