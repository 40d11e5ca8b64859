/**
 * A private copy of kafkajs, loaded beside the one that the application may use.
 *
 * Our requests travel over kafkajs's connections (client/), with TLS and logins as kafkajs implements them.
 * That requires replacing modules in two places, and an application that uses kafkajs in the same process
 * must not notice. So the files of the package are loaded a second time, into a private module table. A
 * `require` inside that table never reaches the process's `require.cache`. Late requires of kafkajs (it loads
 * protocol versions when it needs them) stay inside the table too. The package has no dependencies; node's
 * own modules are shared.
 *
 * The replacements are written against one version. A guard compares version and contents before anything is
 * loaded, so that a changed kafkajs gives an error here and never a wrong byte later.
 */

import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import vm from 'node:vm';
import type * as kafkajs from 'kafkajs';
import { MillraceError } from '../../../core/index.ts';

const KAFKAJS_VERSION = '2.2.4';
/**
 * SHA-256 over the files of {@link GUARDED}, in this order: each as `path`, zero byte, contents, zero byte.
 */
const GUARDED_SHA256 = '20ebd042800973c3353c1284ccf7e70b40ad15486170736f69904d91792509c7';
const GUARDED = [
  'src/broker/index.js',
  'src/broker/saslAuthenticator/index.js',
  'src/network/connection.js',
  'src/network/connectionPool.js',
  'src/network/requestQueue/index.js',
  'src/network/requestQueue/socketRequest.js',
  'src/protocol/request.js',
  'src/protocol/requests/index.js',
] as const;

/** The inner classes that we use. Their shape is that of kafkajs 2.2.4, which the guard ensures. */
export interface KafkajsBroker {
  /** The versions that it offers, by API; null until it is connected. */
  readonly versions: Record<number, { minVersion: number; maxVersion: number }> | null;
  readonly connectionPool: {
    readonly host: string;
    readonly port: number;
    /** One connection for fetches (1), which may take long, and one for everything else. */
    readonly pool: readonly { isConnected(): boolean }[];
    getConnection(index: number): Promise<unknown>;
    send(request: object): Promise<unknown>;
  };
  isConnected(): boolean;
  /** Connects, asks for the versions, and logs in. */
  connect(): Promise<void>;
  disconnect(): Promise<void>;
}

export interface PrivateClient {
  readonly Kafka: typeof kafkajs.Kafka;
  readonly Broker: new (options: object) => KafkajsBroker;
  readonly ConnectionPool: new (options: object) => KafkajsBroker['connectionPool'];
  readonly createLogger: (options: { level: number; logCreator: kafkajs.logCreator }) => kafkajs.Logger;
  createErrorFromCode(code: number): Error & { type: string; retriable: boolean };
}

let loaded: PrivateClient | undefined;

/**
 * Our copy of kafkajs. The first call loads it (about 60 ms); loading it changes nothing outside.
 *
 * @throws MillraceError ERR_MILLRACE_BROKER when kafkajs is missing, or is not the version that this package
 * was written for
 */
export function privateClient(): PrivateClient {
  loaded ??= load();
  return loaded;
}

function load(): PrivateClient {
  const root = packageRoot();
  checkPackage(root);
  const modules = new Map<string, { exports: unknown }>();
  const requireFile = (file: string): unknown => {
    const known = modules.get(file);
    if (known !== undefined) return known.exports;
    const module: { exports: unknown } = { exports: {} };
    modules.set(file, module);
    const source = fs.readFileSync(file, 'utf8');
    if (file.endsWith('.json')) {
      module.exports = JSON.parse(source);
      return module.exports;
    }
    const native = createRequire(file);
    const requireFrom = (specifier: string): unknown => {
      const resolved = native.resolve(specifier);
      return path.isAbsolute(resolved) ? requireFile(resolved) : native(specifier);
    };
    const body = vm.compileFunction(source, ['exports', 'require', 'module', '__filename', '__dirname'], { filename: file });
    body.call(module.exports, module.exports, requireFrom, module, file, path.dirname(file));
    return module.exports;
  };
  const inner = <T>(file: string): T => requireFile(path.join(root, file)) as T;

  // Our requests bring their own frame; kafkajs encodes all others.
  const encodeTheirs = inner<(request: object) => Promise<{ buffer: Uint8Array }>>('src/protocol/request.js');
  modules.set(path.join(root, 'src/protocol/request.js'), { exports: encodeRequest(encodeTheirs) });
  stopIdleTimer(inner('src/network/requestQueue/index.js'));

  const api = inner<typeof kafkajs>('index.js');
  const errors = inner<{ createErrorFromCode: PrivateClient['createErrorFromCode'] }>('src/protocol/error.js');
  return {
    Kafka: api.Kafka,
    Broker: inner<PrivateClient['Broker']>('src/broker/index.js'),
    ConnectionPool: inner<PrivateClient['ConnectionPool']>('src/network/connectionPool.js'),
    createLogger: inner<Pick<PrivateClient, 'createLogger'>>('src/loggers/index.js').createLogger,
    createErrorFromCode: errors.createErrorFromCode,
  };
}

/** A request that writes its own frame. */
interface FramedRequest {
  frame(correlationId: number, clientId: string): Buffer;
}

type Encode = (call: { correlationId: number; clientId: string; request: object }) => Promise<{ buffer: Uint8Array }>;

/** Replaces kafkajs's encoder of requests: lets requests pass that bring their own frame. */
function encodeRequest(theirs: (call: never) => Promise<{ buffer: Uint8Array }>): Encode {
  return async (call) => {
    const framed = call.request as Partial<FramedRequest>;
    return framed.frame === undefined ? theirs(call as never) : { buffer: framed.frame(call.correlationId, call.clientId) };
  };
}

function packageRoot(): string {
  try {
    return path.dirname(createRequire(import.meta.url).resolve('kafkajs/package.json'));
  } catch (cause) {
    throw new MillraceError(
      'ERR_MILLRACE_BROKER',
      `The package kafkajs cannot be found. Install it: npm install kafkajs@${KAFKAJS_VERSION} (a bundler has to leave it outside the bundle).`,
      { cause },
    );
  }
}

/**
 * The guard: checks that the kafkajs at `root` is the one that the replacements were written for.
 *
 * @throws MillraceError ERR_MILLRACE_BROKER that names the version found
 */
export function checkPackage(root: string): void {
  const { version } = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')) as { version: string };
  if (version !== KAFKAJS_VERSION) {
    throw new MillraceError(
      'ERR_MILLRACE_BROKER',
      `kafkajs is version ${version} at ${root}; millrace asks brokers through internals of ${KAFKAJS_VERSION}. Install that one: npm install kafkajs@${KAFKAJS_VERSION}`,
    );
  }
  const hash = createHash('sha256');
  for (const file of GUARDED) {
    hash.update(file).update('\0');
    // Line ends may depend on how the package was unpacked; nothing else may differ.
    hash.update(fs.existsSync(path.join(root, file)) ? fs.readFileSync(path.join(root, file), 'utf8').replaceAll('\r\n', '\n') : '').update('\0');
  }
  const digest = hash.digest('hex');
  if (digest !== GUARDED_SHA256) {
    throw new MillraceError(
      'ERR_MILLRACE_BROKER',
      `kafkajs ${version} at ${root} is not the published one (its files have the digest ${digest}). A patched copy cannot be used: install it afresh, npm install kafkajs@${KAFKAJS_VERSION}`,
    );
  }
}

interface RequestQueue {
  pending: unknown[];
  throttledUntil: number;
  throttleCheckTimeoutId: NodeJS.Timeout | null;
}

/**
 * kafkajs schedules its next look at a queue in `throttledUntil - now` ms, which is far below zero while
 * nothing is throttled. The timer then fires every millisecond for every connection (4 % of a core, and a
 * warning from Node 24 on; kafkajs #1751). An empty queue needs no look.
 */
function stopIdleTimer(queueClass: { prototype: RequestQueue & { scheduleCheckPendingRequests(): void } }): void {
  const schedule = queueClass.prototype.scheduleCheckPendingRequests;
  queueClass.prototype.scheduleCheckPendingRequests = function (this: RequestQueue): void {
    if (this.pending.length > 0) schedule.call(this as never);
  };
}
