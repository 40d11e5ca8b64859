/**
 * Rows that are sent by HTTP. They go into a topic of the embedded log first, and are answered when they are on disk; the
 * source reads that topic. So an accepted row is read at least once whatever happens to the job, and once exactly-once.
 */

import { MillraceError } from '../../core/index.ts';
import { type CodedSource, mustBeCodec } from '../codec.ts';
import { log } from '../log/index.ts';
import type { CommittedPosition, SourceContext, SourceReader } from '../source.ts';
import { Inbox } from './inbox.ts';
import { Listener } from './listener.ts';
import { type HttpSourceOptions, type HttpSourceSettings, sourceSettings } from './source-options.ts';

const TOPIC = 'inbox';
const GROUP = 'job';
const SEGMENT_BYTES = 64 << 20;

/**
 * Listens for rows, on 127.0.0.1 unless `host` says otherwise: JSON arrays, single rows or lines; gzip, deflate and br.
 * 200 and `{"accepted":n}`: n rows are on disk. 400: the body is none; 401: the token is wrong; 413: it is too large;
 * 429: the job is behind, so try again; 503: the job is ending. A body that was not answered may have been taken: who
 * sends it again may send rows twice. A row that the codec refuses is accepted, and goes to the ledger.
 *
 * @example http.source({ port: 8080, dir: './inbox', value: json({ page: utf8, ms: f64 }), token: process.env.TOKEN })
 * @throws MillraceError ERR_MILLRACE_OPTION. `open` rejects with ERR_MILLRACE_SOURCE when the port is taken, and with
 * ERR_MILLRACE_FILE when the folder cannot be written or another job has it.
 */
export function source<R>(options: HttpSourceOptions<R>): CodedSource<R> {
  const settings = sourceSettings(options as HttpSourceOptions);
  mustBeCodec('http.source', options.value);
  const { port, host = '127.0.0.1', path = '/', dir, value } = options;
  const inner = log.source({ dir, topic: TOPIC, group: GROUP, value });
  const name = `http ${host}:${port}${path}`;
  return { ...inner, name, alone: name, open: (context) => HttpReader.open(context, name, inner, options as HttpSourceOptions, settings) };
}

class HttpReader implements SourceReader {
  readonly partitionCount: number;
  readonly identity: readonly string[];
  readonly #inner: SourceReader;
  readonly #inbox: Inbox;
  readonly #listener: Listener | undefined;

  private constructor(inner: SourceReader, inbox: Inbox, listener: Listener | undefined) {
    this.partitionCount = inner.partitionCount;
    this.identity = inner.identity ?? [];
    this.#inner = inner;
    this.#inbox = inbox;
    this.#listener = listener;
  }

  static async open(context: SourceContext, name: string, source: CodedSource, options: HttpSourceOptions, settings: HttpSourceSettings): Promise<HttpReader> {
    const { dir } = options;
    const inbox = await Inbox.open({ dir, topic: TOPIC, user: name, segmentBytes: SEGMENT_BYTES, retainMs: settings.retainMs, deposed: context.deposed });
    let inner: SourceReader | undefined;
    try {
      inner = await source.open(context);
      const [position] = await inner.positions();
      await inbox.begin(position?.offset ?? 0);
      const fail = (cause: unknown): void => {
        const error = cause instanceof MillraceError ? cause : new MillraceError('ERR_MILLRACE_SOURCE', `${name}: ${(cause as Error).message}.`, { cause });
        context.fail(error);
      };
      // A run of what is there takes nothing more.
      const listener = context.drain ? undefined : await Listener.open(options, settings, inbox, fail);
      return new HttpReader(inner, inbox, listener);
    } catch (error) {
      await inner?.close();
      await inbox.close();
      throw error;
    }
  }

  positions(): Promise<CommittedPosition[]> {
    return this.#inner.positions();
  }

  start(): void {
    this.#inner.start();
  }

  async commit(positions: readonly CommittedPosition[]): Promise<void> {
    await this.#inner.commit(positions);
    for (const { offset } of positions) await this.#inbox.committed(offset);
  }

  async close(): Promise<void> {
    await this.#listener?.close();
    await this.#inner.close();
    await this.#inbox.close();
  }
}
