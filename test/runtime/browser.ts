/**
 * A real Chromium for tests, over its DevTools protocol: pages, what is in them, screenshots. Where there is none the test is skipped
 * and says what to install, except in CI, where it fails.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];
const READY_MS = 60_000;

export interface Page {
  /** Runs an expression in the page; what it gives must be JSON. */
  evaluate<T>(expression: string): Promise<T>;
  /** Waits until an expression is true. */
  until(what: string, expression: string, seconds?: number): Promise<void>;
  go(url: string): Promise<void>;
  /** A PNG of the window. */
  screenshot(): Promise<Buffer>;
  look(options: { width: number; height: number; dark?: boolean; isMobile?: boolean }): Promise<void>;
  press(key: string): Promise<void>;
  /** What the page and its policy have complained of. */
  readonly complaints: readonly string[];
  /** Addresses that it has asked for. */
  readonly requests: readonly string[];
  /** Bytes of JavaScript objects, after a collection. */
  heapBytes(): Promise<number>;
}

/** Undefined where there is no browser: then the test is marked as skipped, and returns. */
export async function openPage(t: TestContext): Promise<Page | undefined> {
  const program = NAMES.find((name) => spawnSync(name, ['--version']).status === 0);
  if (program === undefined) {
    const advice = 'No Chromium. Install one: apt-get install chromium.';
    if (process.env['CI'] === 'true') throw new Error(advice);
    t.skip(advice);
    return undefined;
  }
  const dir = await mkdtemp(join(tmpdir(), 'millrace-chromium-'));
  const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--remote-debugging-port=0'];
  const browser = spawn(program, [...flags, `--user-data-dir=${dir}`, 'about:blank'], { stdio: 'ignore' });
  t.after(async () => {
    await ended(browser);
    await rm(dir, { recursive: true, force: true, maxRetries: 5 });
  });
  const port = await portOf(dir);
  const targets = (await (await fetch(`http://127.0.0.1:${port}/json`)).json()) as { type: string; webSocketDebuggerUrl: string }[];
  const target = targets.find(({ type }) => type === 'page');
  if (target === undefined) throw new Error('Chromium has no page');
  return connect(target.webSocketDebuggerUrl);
}

async function ended(browser: ChildProcess): Promise<void> {
  if (browser.exitCode !== null) return;
  const over = new Promise((resolve) => browser.once('exit', resolve));
  browser.kill('SIGKILL');
  await over;
}

async function portOf(dir: string): Promise<number> {
  for (const deadline = Date.now() + READY_MS; Date.now() < deadline; await sleep(50)) {
    const text = await readFile(join(dir, 'DevToolsActivePort'), 'utf8').catch(() => '');
    const port = Number(text.split('\n')[0]);
    if (port > 0) return port;
  }
  throw new Error(`Chromium did not start within ${READY_MS} ms`);
}

async function connect(url: string): Promise<Page> {
  // Node 20 has no WebSocket by default; undici is not a dependency. Frames of text are all that is needed here.
  const socket = await openSocket(url);
  let number = 0;
  const waiting = new Map<number, { resolve: (result: never) => void; reject: (error: Error) => void }>();
  const complaints: string[] = [];
  const requests: string[] = [];
  socket.onMessage = (text) => {
    const message = JSON.parse(text) as { id?: number; method?: string; params?: Record<string, never>; result?: never; error?: { message: string } };
    if (message.id !== undefined) {
      const one = waiting.get(message.id);
      waiting.delete(message.id);
      if (message.error) one?.reject(new Error(message.error.message));
      else one?.resolve(message.result as never);
    } else if (message.method === 'Runtime.exceptionThrown') complaints.push(JSON.stringify(message.params));
    else if (message.method === 'Log.entryAdded') complaints.push(JSON.stringify((message.params as { entry?: unknown })['entry']));
    else if (message.method === 'Network.requestWillBeSent') requests.push((message.params as unknown as { request: { url: string } }).request.url);
  };
  const call = <T>(method: string, params: object = {}): Promise<T> =>
    new Promise((resolve, reject) => {
      const id = ++number;
      waiting.set(id, { resolve: resolve as never, reject });
      socket.send(JSON.stringify({ id, method, params }));
    });
  for (const domain of ['Page', 'Runtime', 'Log', 'Network', 'HeapProfiler']) await call(`${domain}.enable`);
  const page: Page = {
    complaints,
    requests,
    async evaluate<T>(expression: string): Promise<T> {
      const answer = await call<{ result: { value: T }; exceptionDetails?: { exception?: { description?: string } } }>('Runtime.evaluate', {
        expression,
        returnByValue: true,
        awaitPromise: true,
      });
      if (answer.exceptionDetails) throw new Error(`${expression}: ${answer.exceptionDetails.exception?.description}`);
      return answer.result.value;
    },
    async until(what, expression, seconds = 60) {
      for (const deadline = Date.now() + seconds * 1_000; ; await sleep(50)) {
        if (await page.evaluate<boolean>(`Boolean(${expression})`).catch(() => false)) return;
        if (Date.now() > deadline) throw new Error(`waited ${seconds} s for: ${what}; the page: ${await page.evaluate<string>('document.body.innerText')}`);
      }
    },
    async go(to) {
      await call('Page.navigate', { url: to });
      await page.until('the page to load', `document.readyState === 'complete' && location.href === ${JSON.stringify(to)}`);
    },
    async screenshot() {
      const { data } = await call<{ data: string }>('Page.captureScreenshot', { format: 'png', captureBeyondViewport: false });
      return Buffer.from(data, 'base64');
    },
    async look({ width, height, dark = false, isMobile = false }) {
      await call('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: isMobile ? 2 : 1, mobile: isMobile });
      await call('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }] });
    },
    async press(key) {
      const codes: Readonly<Record<string, number>> = { Tab: 9, Enter: 13 };
      const of = { key, code: key, windowsVirtualKeyCode: codes[key] ?? 0, ...(key === 'Enter' ? { text: '\r' } : {}) };
      await call('Input.dispatchKeyEvent', { type: 'keyDown', ...of });
      await call('Input.dispatchKeyEvent', { type: 'keyUp', ...of });
    },
    async heapBytes() {
      await call('HeapProfiler.collectGarbage');
      return (await call<{ usedSize: number }>('Runtime.getHeapUsage')).usedSize;
    },
  };
  return page;
}

interface Socket {
  send(text: string): void;
  onMessage: (text: string) => void;
}

/** A client of WebSocket, as far as the DevTools protocol on this machine needs one: text frames, no extensions (RFC 6455). */
async function openSocket(url: string): Promise<Socket> {
  const { createHash, randomBytes } = await import('node:crypto');
  const { request } = await import('node:http');
  const key = randomBytes(16).toString('base64');
  const socket = await new Promise<import('node:stream').Duplex>((resolve, reject) => {
    const asked = request(url.replace(/^ws/, 'http'), {
      headers: { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': key },
    });
    asked.on('error', reject);
    asked.on('upgrade', (answer, stream) => {
      const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
      if (answer.headers['sec-websocket-accept'] === accept) resolve(stream);
      else reject(new Error('that is no WebSocket'));
    });
    asked.end();
  });
  const open: Socket = {
    onMessage: () => {},
    send(text) {
      const payload = Buffer.from(text);
      const mask = randomBytes(4);
      const long = payload.length > 65_535;
      const head = Buffer.alloc(payload.length < 126 ? 2 : long ? 10 : 4);
      head[0] = 0x81;
      head[1] = 0x80 | (payload.length < 126 ? payload.length : long ? 127 : 126);
      if (long) head.writeBigUInt64BE(BigInt(payload.length), 2);
      else if (payload.length >= 126) head.writeUInt16BE(payload.length, 2);
      for (let i = 0; i < payload.length; i++) payload[i] = (payload[i] as number) ^ (mask[i & 3] as number);
      socket.write(Buffer.concat([head, mask, payload]));
    },
  };
  let buffered = Buffer.alloc(0);
  let parts: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => {
    buffered = Buffer.concat([buffered, chunk]);
    for (;;) {
      if (buffered.length < 2) return;
      const short = (buffered[1] as number) & 0x7f;
      const headBytes = short === 127 ? 10 : short === 126 ? 4 : 2;
      if (buffered.length < headBytes) return;
      const length = short === 127 ? Number(buffered.readBigUInt64BE(2)) : short === 126 ? buffered.readUInt16BE(2) : short;
      if (buffered.length < headBytes + length) return;
      const first = buffered[0] as number;
      const opcode = first & 0x0f;
      if (opcode <= 1) parts.push(buffered.subarray(headBytes, headBytes + length));
      buffered = buffered.subarray(headBytes + length);
      if ((first & 0x80) !== 0 && opcode <= 1) {
        const text = Buffer.concat(parts).toString('utf8');
        parts = [];
        open.onMessage(text);
      }
    }
  });
  socket.on('error', () => {});
  return open;
}
