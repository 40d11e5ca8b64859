/**
 * A schema registry that speaks Confluent's interface (Confluent, Apicurio, Karapace, Redpanda): schemas by id, kept
 * for ever, as an id always has the same one; new schemas under a subject.
 */

import { checkOptionNames, type Duration, durationMs, MillraceError, shown } from '../../core/index.ts';
import { Circuit, Unavailable } from '../delivery/index.ts';
import { busy, HTTP_OPTIONS, type HttpAnswer, HttpClient, type HttpConnectionOptions, isPassingStatus, wordsOf } from '../http/index.ts';
import type { NewSchema, RegisteredSchema, RegistryWait, SchemaRegistry, SchemaType } from '../schema-registry.ts';

export interface RegistryOptions extends HttpConnectionOptions {
  /**
   * Under which subject a sink's schema is: `topic` (default): the topic's name and `-value`. `record`: the full name of the
   * record. `topicRecord`: both, with a dash between them. Or the subject itself.
   */
  readonly subject?: 'topic' | 'record' | 'topicRecord' | { readonly name: string };
  /** Whether a sink's schema is registered where it is not there. Default true; false: it has to be there. */
  readonly register?: boolean;
  /** How long one request may take. Default `'30s'`. */
  readonly requestTimeout?: Duration;
  /** How long a registry that is away or too busy is waited for, before the job fails. Default `'2m'`. */
  readonly timeout?: Duration;
}

/** A version of a subject. */
export interface RegisteredVersion extends RegisteredSchema {
  readonly version: number;
}

interface Asked {
  readonly code: 'ERR_MILLRACE_SOURCE' | 'ERR_MILLRACE_SINK';
  readonly what: string;
  readonly wait: RegistryWait;
}

const CONNECTIONS = 4;
/** How long an id counts as unknown before it is asked for again. */
const UNKNOWN_MS = 30_000;
const REFERENCES_MAX = 256;
const MEDIA = 'application/vnd.schemaregistry.v1+json';
const SUBJECTS = ['topic', 'record', 'topicRecord'];

/**
 * A schema registry for the codecs: `avro(schema, { registry })`, `json(fields, { registry })`, `protobuf(...)`.
 *
 * Where a topic is read, a worker that meets an id which it does not know asks for its schema, once, and goes on with
 * the record then. While the registry is away the job waits (`job.state` is 'waiting'), for at most `timeout`. A record
 * whose id the registry does not have is refused; the id is asked for again 30 s later.
 *
 * A sink asks before it writes: once per start, on the main thread. What the registry refuses (as incompatible with the
 * versions before) ends the job with the registry's own words, before a row is written.
 *
 * @example registry({ url: 'http://127.0.0.1:8081', auth: { username: 'key', password: 'secret' } })
 * @throws MillraceError ERR_MILLRACE_OPTION
 */
export function registry(options: RegistryOptions): Registry {
  return new Registry(options);
}

export class Registry implements SchemaRegistry {
  readonly name: string;
  readonly #client: HttpClient;
  readonly #options: RegistryOptions;
  readonly #requestTimeoutMs: number;
  readonly #timeoutMs: number;
  readonly #known = new Map<number, RegisteredSchema>();
  readonly #unknown = new Map<number, number>();
  readonly #underWay = new Map<number, Promise<void>>();

  constructor(options: RegistryOptions) {
    checkOptionNames('registry()', options, { ...HTTP_OPTIONS, subject: true, register: true, requestTimeout: true, timeout: true });
    const { subject = 'topic', register = true, requestTimeout = '30s', timeout = '2m' } = options;
    const isNamed = typeof subject === 'object' && subject !== null && typeof subject.name === 'string' && subject.name !== '';
    if (!isNamed && !SUBJECTS.includes(subject as string))
      throw new MillraceError(
        'ERR_MILLRACE_OPTION',
        `registry(): subject is ${shown(subject)}. Give 'topic', 'record', 'topicRecord' or { name: 'clicks-value' }.`,
      );
    if (typeof register !== 'boolean') throw new MillraceError('ERR_MILLRACE_OPTION', `registry(): register is ${shown(register)}. Give true or false.`);
    this.#requestTimeoutMs = durationMs(requestTimeout, 'registry(): requestTimeout', 1);
    this.#timeoutMs = durationMs(timeout, 'registry(): timeout');
    this.#client = new HttpClient('registry()', options, CONNECTIONS);
    this.#options = options;
    this.name = `registry ${this.#client.place}`;
  }

  find(id: number): RegisteredSchema | { readonly fault: string } | undefined {
    const found = this.#known.get(id);
    if (found !== undefined) return found;
    const askedAtMs = this.#unknown.get(id);
    if (askedAtMs === undefined) return undefined;
    if (performance.now() - askedAtMs > UNKNOWN_MS) {
      this.#unknown.delete(id);
      return undefined;
    }
    return { fault: `its schema has the id ${id}, which the ${this.name} does not have` };
  }

  fetch(id: number, wait: RegistryWait): Promise<void> {
    let fetching = this.#underWay.get(id);
    if (fetching === undefined) {
      fetching = this.#fetch(id, wait).finally(() => this.#underWay.delete(id));
      this.#underWay.set(id, fetching);
    }
    return fetching;
  }

  /**
   * A version of a subject; the newest one without `version`. For a module that reads with what is registered, by a
   * top-level await. Name a version where several processes must read alike.
   *
   * @example const clicks = await schemas.schema('clicks-value', 3)
   * @throws MillraceError ERR_MILLRACE_SOURCE when there is none
   */
  async schema(subject: string, version: number | 'latest' = 'latest'): Promise<RegisteredVersion> {
    const asked: Asked = { code: 'ERR_MILLRACE_SOURCE', what: `the schema ${version} of the subject ${shown(subject)} cannot be read`, wait: {} };
    const answer = await this.#ask(asked, 'GET', `/subjects/${encodeURIComponent(subject)}/versions/${version}`);
    if (answer.status !== 200) throw this.#refused(asked, answer);
    const body = answer.json() as { readonly id: number; readonly version: number };
    const found = await this.#schemaOf(body.id, body, asked);
    this.#known.set(body.id, found);
    return { ...found, version: body.version };
  }

  async idOf({ topic, record, type, schema }: NewSchema, wait: RegistryWait): Promise<number> {
    const { subject = 'topic', register = true } = this.#options;
    const name = typeof subject === 'object' ? subject.name : subject === 'topic' ? `${topic}-value` : subject === 'record' ? record : `${topic}-${record}`;
    const asked: Asked = {
      code: 'ERR_MILLRACE_SINK',
      what: `the schema of ${record} cannot be ${register ? 'registered' : 'found'} under the subject ${shown(name)}`,
      wait,
    };
    const path = `/subjects/${encodeURIComponent(name)}`;
    const answer = await this.#ask(
      asked,
      'POST',
      register ? `${path}/versions` : path,
      JSON.stringify({ schema, ...(type === 'AVRO' ? {} : { schemaType: type }) }),
    );
    const id = answer.status === 200 ? (answer.json() as { readonly id?: unknown }).id : undefined;
    if (typeof id !== 'number') throw this.#refused(asked, answer);
    return id;
  }

  async #fetch(id: number, wait: RegistryWait): Promise<void> {
    const asked: Asked = { code: 'ERR_MILLRACE_SOURCE', what: `the schema of the id ${id} cannot be read`, wait };
    const answer = await this.#ask(asked, 'GET', `/schemas/ids/${id}`);
    if (answer.status === 404) this.#unknown.set(id, performance.now());
    else if (answer.status !== 200) throw this.#refused(asked, answer);
    else this.#known.set(id, await this.#schemaOf(id, answer.json(), asked));
  }

  async #schemaOf(id: number, body: unknown, asked: Asked): Promise<RegisteredSchema> {
    const { schema, schemaType = 'AVRO', references = [] } = (body ?? {}) as { schema?: unknown; schemaType?: SchemaType; references?: unknown };
    if (typeof schema !== 'string' || !Array.isArray(references))
      throw new MillraceError(asked.code, `${this.name}: ${asked.what}: the answer has no schema: ${shown(body)}.`);
    const found = new Map<string, string>();
    await this.#refer(references, found, asked);
    return { id, type: schemaType, schema, references: [...found].map(([name, text]) => ({ name, schema: text })) };
  }

  /** Depth first, so that each comes after those that it needs. */
  async #refer(references: readonly unknown[], found: Map<string, string>, asked: Asked, open: ReadonlySet<string> = new Set()): Promise<void> {
    for (const reference of references) {
      const { name, subject, version } = reference as { name: string; subject: string; version: number };
      if (found.has(name) || open.has(name)) continue;
      if (found.size >= REFERENCES_MAX) throw new MillraceError(asked.code, `${this.name}: ${asked.what}: it refers to more than ${REFERENCES_MAX} others.`);
      const answer = await this.#ask(asked, 'GET', `/subjects/${encodeURIComponent(subject)}/versions/${version}`);
      if (answer.status !== 200) throw this.#refused(asked, answer);
      const body = answer.json() as { readonly schema: string; readonly references?: readonly unknown[] };
      await this.#refer(body.references ?? [], found, asked, new Set([...open, name]));
      found.set(name, body.schema);
    }
  }

  /** One request, again until it is answered. */
  async #ask({ code, what, wait }: Asked, method: string, path: string, body?: string): Promise<HttpAnswer> {
    const { signal = new AbortController().signal, waiting } = wait;
    const circuit = new Circuit({ name: `${this.name}: ${what}`, patienceMs: this.#timeoutMs, option: 'timeout', signal, waiting });
    try {
      for (;;) {
        await circuit.enter();
        try {
          const timeout = AbortSignal.timeout(this.#requestTimeoutMs);
          const answer = await this.#client.send({
            method,
            path,
            headers: { accept: MEDIA, ...(body === undefined ? {} : { 'content-type': MEDIA }) },
            ...(body === undefined ? {} : { body }),
            signal: AbortSignal.any([signal, timeout]),
          });
          if (isPassingStatus(answer.status)) throw busy(this.#client, answer);
          circuit.succeeded();
          return answer;
        } catch (error) {
          signal.throwIfAborted();
          const passing =
            error instanceof Unavailable
              ? error
              : error instanceof DOMException
                ? new Unavailable(`${this.#client.place} did not answer within ${this.#requestTimeoutMs} ms (requestTimeout)`, { cause: error })
                : undefined;
          if (passing === undefined) throw error;
          circuit.failed(passing);
        }
      }
    } catch (error) {
      if (!(error instanceof MillraceError) || error.code !== 'ERR_MILLRACE_SINK' || code === 'ERR_MILLRACE_SINK') throw error;
      throw new MillraceError(code, error.message, { cause: error });
    } finally {
      circuit.close();
    }
  }

  #refused({ code, what }: Asked, answer: HttpAnswer): MillraceError {
    const why: Readonly<Record<number, string>> = {
      401: 'Give credentials: auth.',
      403: 'The credentials may not do that.',
      404: 'See whether the subject and the url are right.',
      409: 'It is not compatible with the versions before: change the schema, or the compatibility of the subject.',
      422: 'See what it says.',
    };
    return new MillraceError(code, `${this.name}: ${what}: it answers with ${wordsOf(answer)}. ${why[answer.status] ?? 'See what it says.'}`);
  }
}
