/**
 * The operations of S3 that a store needs, as calls: each is signed, and tried until the store answers it. What it
 * refuses is an error with its own words. Signatures are of aws4fetch, an optional peer.
 */

import { createHash } from 'node:crypto';
import { MillraceError, shown } from '../../core/index.ts';
import { type Calls, Unavailable } from '../delivery/index.ts';
import { type AnswerBody, busy, type HttpAnswer, type HttpClient, isPassingStatus, wordsOf } from '../http/index.ts';

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/** The store says that an object, or an upload, is not there. */
export class NotThere extends Error {}

export interface S3Options {
  /** The address of the bucket, without a slash at its end. */
  readonly url: string;
  readonly bucket: string;
  readonly region: string;
  credentials(): Promise<S3Credentials>;
}

interface S3Request {
  readonly method: string;
  /** The bucket itself without one. */
  readonly key?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly pieces?: readonly Uint8Array[];
}

const PASSING = new Set(['SlowDown', 'ServiceUnavailable', 'InternalError', 'RequestTimeout', 'OperationAborted', 'Throttling', 'ThrottlingException']);
const MISSING = new Set(['NoSuchKey', 'NoSuchUpload', 'NotFound']);

/** Of aws4fetch, by its shape: its types are not there where it is not installed. */
export type Signer = new (
  request: S3Credentials & {
    readonly method: string;
    readonly url: string;
    readonly headers: Record<string, string>;
    readonly service: string;
    readonly region: string;
  },
) => { sign(): Promise<{ readonly url: URL; readonly headers: Iterable<[string, string]> }> };

/** @throws MillraceError ERR_MILLRACE_OPTION when aws4fetch is not installed */
export async function loadSigner(what: string): Promise<Signer> {
  try {
    return (await import('aws4fetch')).AwsV4Signer;
  } catch (cause) {
    throw new MillraceError('ERR_MILLRACE_OPTION', `${what} signs its requests with aws4fetch, which is not installed: npm i aws4fetch`, { cause });
  }
}

export class S3 {
  readonly #what: string;
  readonly #client: HttpClient;
  readonly #calls: Calls;
  readonly #options: S3Options;
  readonly #signer: Signer;

  constructor(what: string, client: HttpClient, calls: Calls, options: S3Options, signer: Signer) {
    this.#what = what;
    this.#client = client;
    this.#calls = calls;
    this.#options = options;
    this.#signer = signer;
  }

  /** The same store, asked in another way. */
  by(calls: Calls): S3 {
    return new S3(this.#what, this.#client, calls, this.#options, this.#signer);
  }

  async put(key: string, pieces: readonly Uint8Array[], headers: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.#call({ method: 'PUT', key, pieces, headers });
  }

  /** @throws NotThere */
  async get(key: string): Promise<AnswerBody> {
    return (await this.#call({ method: 'GET', key })).body;
  }

  /** The headers of an object; undefined: it is not there. */
  async head(key: string): Promise<HttpAnswer['headers'] | undefined> {
    try {
      return (await this.#call({ method: 'HEAD', key })).headers;
    } catch (error) {
      if (error instanceof NotThere) return undefined;
      throw error;
    }
  }

  /**
   * Within the store, all or nothing.
   *
   * @throws NotThere when the object is gone
   */
  async copy(from: string, to: string, headers: Readonly<Record<string, string>>): Promise<void> {
    const source = `/${this.#options.bucket}/${encodedKey(from)}`;
    const answer = await this.#call({ method: 'PUT', key: to, headers: { 'x-amz-copy-source': source, 'x-amz-metadata-directive': 'REPLACE', ...headers } });
    // It may fail behind the head of the answer.
    if (/<Error>/.test(answer.text())) throw this.#fault(answer, to);
  }

  async remove(key: string): Promise<void> {
    await this.#call({ method: 'DELETE', key });
  }

  /** All keys that begin so. */
  async list(prefix: string): Promise<string[]> {
    const keys: string[] = [];
    for (let more: Record<string, string> | undefined = {}; more !== undefined; ) {
      const answer: HttpAnswer = await this.#call({ method: 'GET', query: { 'list-type': '2', 'encoding-type': 'url', prefix, ...more } });
      const text: string = answer.text();
      for (const content of elements(text, 'Contents')) keys.push(decodedKey(element(content, 'Key')));
      const token: string = element(text, 'NextContinuationToken');
      more = token === '' ? undefined : { 'continuation-token': token };
    }
    return keys;
  }

  async beginUpload(key: string): Promise<string> {
    const answer = await this.#call({ method: 'POST', key, query: { uploads: '' } });
    return element(answer.text(), 'UploadId');
  }

  /** Part numbers begin at 1. Returns its ETag. */
  async putPart(key: string, uploadId: string, partNumber: number, pieces: readonly Uint8Array[]): Promise<string> {
    const { headers } = await this.#call({ method: 'PUT', key, query: { partNumber: String(partNumber), uploadId }, pieces });
    return headers.etag ?? '';
  }

  /** @throws NotThere when there is no such upload any more */
  async completeUpload(key: string, uploadId: string, etags: readonly string[]): Promise<void> {
    const parts = etags.map((etag, i) => `<Part><PartNumber>${i + 1}</PartNumber><ETag>${escapedXml(etag)}</ETag></Part>`).join('');
    const body = Buffer.from(`<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${parts}</CompleteMultipartUpload>`);
    const answer = await this.#call({ method: 'POST', key, query: { uploadId }, pieces: [body] });
    if (/<Error>/.test(answer.text())) throw this.#fault(answer, key);
  }

  async abortUpload(key: string, uploadId: string): Promise<void> {
    try {
      await this.#call({ method: 'DELETE', key, query: { uploadId } });
    } catch (error) {
      if (!(error instanceof NotThere)) throw error;
    }
  }

  /** Whether an upload was neither completed nor aborted. By the list: not every store refuses to list the parts of one that is gone. */
  async hasUpload(key: string, uploadId: string): Promise<boolean> {
    return (await this.listUploads(key)).some((upload) => upload.key === key && upload.uploadId === uploadId);
  }

  /** Uploads that were begun and not completed, of keys that begin so. */
  async listUploads(prefix: string): Promise<{ readonly key: string; readonly uploadId: string }[]> {
    const uploads: { key: string; uploadId: string }[] = [];
    for (let more: Record<string, string> | undefined = {}; more !== undefined; ) {
      const answer: HttpAnswer = await this.#call({ method: 'GET', query: { uploads: '', prefix, ...more } });
      const text: string = answer.text();
      for (const upload of elements(text, 'Upload')) uploads.push({ key: element(upload, 'Key'), uploadId: element(upload, 'UploadId') });
      const isTruncated = element(text, 'IsTruncated') === 'true';
      more = isTruncated ? { 'key-marker': element(text, 'NextKeyMarker'), 'upload-id-marker': element(text, 'NextUploadIdMarker') } : undefined;
    }
    return uploads.filter(({ key }) => key.startsWith(prefix));
  }

  close(): void {
    this.#client.close();
  }

  #call(request: S3Request): Promise<HttpAnswer> {
    return this.#calls.call(async (signal) => {
      const { method, key, query = {}, headers = {}, pieces = [] } = request;
      const { url: base, region, credentials } = this.#options;
      const search = new URLSearchParams(query).toString();
      const url = `${base}/${key === undefined ? '' : encodedKey(key)}${search === '' ? '' : `?${search}`}`;
      const hash = createHash('sha256');
      for (const piece of pieces) hash.update(piece);
      const { accessKeyId, secretAccessKey, sessionToken } = await credentials();
      const signer = new this.#signer({
        method,
        url,
        headers: { ...headers, 'X-Amz-Content-Sha256': hash.digest('hex') },
        accessKeyId,
        secretAccessKey,
        ...(sessionToken !== undefined && { sessionToken }),
        service: 's3',
        region,
      });
      const signed = await signer.sign();
      const answer = await this.#client.send({
        method,
        path: signed.url.toString(),
        headers: Object.fromEntries([...signed.headers].filter(([name]) => name !== 'host')),
        ...(method === 'PUT' || method === 'POST' ? { body: pieces } : {}),
        signal,
      });
      if (answer.status >= 200 && answer.status < 300) return answer;
      throw this.#fault(answer, key ?? '');
    });
  }

  #fault(answer: HttpAnswer, key: string): Error {
    const text = answer.text();
    const code = element(text, 'Code');
    const message = element(text, 'Message');
    if (MISSING.has(code) || (answer.status === 404 && code === '')) return new NotThere(message || 'status 404');
    if (PASSING.has(code) || (code === '' && isPassingStatus(answer.status)))
      return code === '' ? busy(this.#client, answer) : new Unavailable(`${this.#client.place} answers with ${code}: ${message}`);
    const words = code === '' ? wordsOf(answer) : `${code}: ${message}`;
    const { bucket } = this.#options;
    return new MillraceError('ERR_MILLRACE_SINK', `${this.#what}: ${this.#client.place} refuses ${shown(key === '' ? bucket : `${bucket}/${key}`)}: ${words}.`);
  }
}

function encodedKey(key: string): string {
  return key
    .split('/')
    .map((part) => encodeURIComponent(part).replace(/[!'()*]/g, (odd) => `%${odd.charCodeAt(0).toString(16).toUpperCase()}`))
    .join('/');
}

function decodedKey(key: string): string {
  return decodeURIComponent(key.replaceAll('+', '%20'));
}

function elements(xml: string, name: string): string[] {
  return [...xml.matchAll(new RegExp(`<${name}>(.*?)</${name}>`, 'gs'))].map(([, inside]) => inside as string);
}

/** The text of the first element of a name; empty where there is none. */
function element(xml: string, name: string): string {
  const inside = new RegExp(`<${name}>(.*?)</${name}>`, 's').exec(xml)?.[1] ?? '';
  return inside.replace(/&(?:lt|gt|quot|apos|amp|#(\d+)|#x([0-9a-f]+));/gi, (entity, decimal, hex) => {
    if (decimal !== undefined || hex !== undefined) return String.fromCodePoint(decimal === undefined ? Number.parseInt(hex, 16) : Number(decimal));
    return { '&lt;': '<', '&gt;': '>', '&quot;': '"', '&apos;': "'", '&amp;': '&' }[entity.toLowerCase() as '&lt;'] as string;
  });
}

function escapedXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
