/**
 * The operations of WebHDFS that a store needs, as calls: each is tried until the cluster answers it. What the cluster
 * refuses is an error with its own words.
 */

import { MillraceError, shown } from '../../core/index.ts';
import { type Calls, Unavailable } from '../delivery/index.ts';
import { type AnswerBody, busy, type HttpAnswer, type HttpClient, isPassingStatus, wordsOf } from '../http/index.ts';

/** Faults that pass: a NameNode that starts, stands by or has no DataNode yet, and what the network does to one behind it. */
const PASSING = new Set([
  'IOException',
  'StandbyException',
  'RetriableException',
  'SafeModeException',
  'NotReplicatedYetException',
  'RecoveryInProgressException',
  'LeaseExpiredException',
  'ConnectException',
  'SocketException',
  'SocketTimeoutException',
  'NoRouteToHostException',
  'EOFException',
  'ClosedChannelException',
]);

export interface FileStatus {
  readonly pathSuffix: string;
  readonly type: 'FILE' | 'DIRECTORY' | 'SYMLINK';
  readonly length: number;
}

/** The cluster says that something is not there. */
export class NotThere extends Error {}

interface Fault {
  readonly exception: string;
  readonly message: string;
}

export class WebHdfs {
  readonly place: string;
  readonly #client: HttpClient;
  readonly #calls: Calls;
  readonly #identity: Readonly<Record<string, string>>;
  readonly #what: string;

  /** @param identity query parameters that say who asks: `user.name`, or `delegation` */
  constructor(what: string, client: HttpClient, calls: Calls, identity: Readonly<Record<string, string>>) {
    this.#what = what;
    this.place = client.place;
    this.#client = client;
    this.#calls = calls;
    this.#identity = identity;
  }

  /** The same cluster, asked in another way. */
  by(calls: Calls): WebHdfs {
    return new WebHdfs(this.#what, this.#client, calls, this.#identity);
  }

  /** Writes a whole file, in place of one that is there, and makes the folders above it. */
  create(path: string, pieces: readonly Uint8Array[], query: Readonly<Record<string, string>> = {}): Promise<void> {
    return this.#calls.call(async (signal) => {
      // The NameNode says where the bytes go. Neither reads a body before that.
      const where = await this.#ask('PUT', path, { op: 'CREATE', overwrite: 'true', ...query }, signal, 307);
      const answer = await this.#client.send({
        method: 'PUT',
        path: this.#redirect(where),
        headers: { 'content-type': 'application/octet-stream' },
        body: pieces,
        signal,
      });
      if (answer.status !== 201 && answer.status !== 200) throw this.#fault(answer, path);
    });
  }

  async read(path: string): Promise<AnswerBody> {
    return this.#calls.call(async (signal) => {
      const where = await this.#ask('GET', path, { op: 'OPEN' }, signal, 307);
      const answer = await this.#client.send({ method: 'GET', path: this.#redirect(where), signal });
      if (answer.status !== 200) throw this.#fault(answer, path);
      return answer.body;
    });
  }

  /** Joins files of one folder to the end of the first one, which takes their place. */
  async concat(path: string, others: readonly string[], byteLength: number): Promise<void> {
    await this.#calls.call(async (signal, tries) => {
      try {
        await this.#ask('POST', path, { op: 'CONCAT', sources: others.join(',') }, signal, 200);
      } catch (error) {
        // An earlier try may have done it, all or nothing.
        if (!(error instanceof NotThere) || tries === 0 || (await this.#status(path, signal))?.length !== byteLength) throw error;
      }
    });
  }

  /**
   * Gives a file another name, in place of what has it.
   *
   * @throws NotThere when the file is gone
   */
  async rename(from: string, to: string): Promise<void> {
    await this.#calls.call(async (signal, tries) => {
      try {
        await this.#ask('PUT', from, { op: 'RENAME', destination: to, renameoptions: 'OVERWRITE' }, signal, 200);
      } catch (error) {
        // An earlier try may have done it.
        if (!(error instanceof NotThere) || tries === 0 || (await this.#status(to, signal)) === undefined) throw error;
      }
    });
  }

  makeFolder(path: string): Promise<void> {
    return this.#calls.call(async (signal) => void (await this.#ask('PUT', path, { op: 'MKDIRS' }, signal, 200)));
  }

  /** The entries of a folder; none where it is not there. */
  list(path: string): Promise<readonly FileStatus[]> {
    return this.#calls.call(async (signal) => {
      try {
        const answer = await this.#ask('GET', path, { op: 'LISTSTATUS' }, signal, 200);
        return (answer.json() as { FileStatuses: { FileStatus: FileStatus[] } }).FileStatuses.FileStatus;
      } catch (error) {
        if (error instanceof NotThere) return [];
        throw error;
      }
    });
  }

  remove(path: string): Promise<void> {
    return this.#calls.call(async (signal) => void (await this.#ask('DELETE', path, { op: 'DELETE' }, signal, 200)));
  }

  close(): void {
    this.#client.close();
  }

  async #status(path: string, signal: AbortSignal): Promise<FileStatus | undefined> {
    try {
      return ((await this.#ask('GET', path, { op: 'GETFILESTATUS' }, signal, 200)).json() as { FileStatus: FileStatus }).FileStatus;
    } catch (error) {
      if (error instanceof NotThere) return undefined;
      throw error;
    }
  }

  async #ask(method: string, path: string, query: Readonly<Record<string, string>>, signal: AbortSignal, wanted: number): Promise<HttpAnswer> {
    const search = new URLSearchParams({ ...query, ...this.#identity });
    const answer = await this.#client.send({ method, path: `/webhdfs/v1${encoded(path)}?${search}`, signal });
    if (answer.status === wanted) return answer;
    throw this.#fault(answer, path);
  }

  #redirect({ headers }: HttpAnswer): string {
    const { location } = headers;
    if (location !== undefined) return location;
    throw new MillraceError('ERR_MILLRACE_SINK', `${this.#what}: ${this.place} answers without an address to go on at. Is it WebHDFS?`);
  }

  #fault(answer: HttpAnswer, path: string): Error {
    const fault = faultOf(answer);
    if (answer.status === 404 && (fault === undefined || fault.exception === 'FileNotFoundException')) {
      if (fault !== undefined) return new NotThere(fault.message);
      return new MillraceError(
        'ERR_MILLRACE_SINK',
        `${this.#what}: ${this.place} has no WebHDFS (status 404). Is it the NameNode's web address (9870 in Hadoop 3), and is dfs.webhdfs.enabled true?`,
      );
    }
    const asks = String(answer.headers['www-authenticate'] ?? '');
    if (answer.status === 401 || /negotiate/i.test(asks)) {
      const kerberos = /negotiate/i.test(asks);
      return new MillraceError(
        'ERR_MILLRACE_SINK',
        `${this.#what}: ${this.place} refuses the login (${fault?.message ?? `status ${answer.status}`}). ${
          kerberos
            ? 'It asks for Kerberos, which is not supported. Give a delegation token of it: hdfs fetchdt --webservice, and delegation: TOKEN.'
            : 'Check user, delegation or auth.'
        }`,
      );
    }
    const words = fault === undefined ? wordsOf(answer) : `${fault.exception}: ${fault.message.split(/\n|\tat /, 1)[0]}`;
    if (fault === undefined ? isPassingStatus(answer.status) : PASSING.has(fault.exception))
      return fault === undefined ? busy(this.#client, answer) : new Unavailable(`${this.place} answers with ${words}`);
    return new MillraceError('ERR_MILLRACE_SINK', `${this.#what}: ${this.place} refuses ${shown(path)}: ${words}.`);
  }
}

function faultOf({ body }: HttpAnswer): Fault | undefined {
  try {
    return (JSON.parse(body.toString('utf8')) as { RemoteException?: Fault }).RemoteException;
  } catch {
    return undefined;
  }
}

/** A path of HDFS in a URL. */
function encoded(path: string): string {
  return path === '' ? '/' : path.split('/').map(encodeURIComponent).join('/');
}
