// Free TCP ports on 127.0.0.1. They lie below those that the system gives to outgoing connections: a client that tries
// again and again to reach a killed server could otherwise be given the server's own port, and connect to itself.

import fs from 'node:fs';
import net from 'node:net';

const LOWEST = 10_000;
const TRIES = 1000;

/** The port that outgoing connections begin with. */
function firstEphemeral() {
  try {
    return Number(fs.readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').trim().split(/\s+/)[0]);
  } catch {
    return 32_768;
  }
}

/**
 * @param {number} port
 * @returns {Promise<boolean>} whether nobody listens there
 */
export function isFree(port) {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/**
 * @param {number} count
 * @returns {Promise<number[]>} ports that are free on 127.0.0.1, all different
 */
export async function freePorts(count) {
  const highest = firstEphemeral() - 1;
  // A machine may give all ports to outgoing connections.
  const [low, high] = highest - LOWEST >= 1000 ? [LOWEST, highest] : [LOWEST, 65_535];
  const ports = new Set();
  for (let i = 0; i < TRIES && ports.size < count; i++) {
    const port = low + Math.floor(Math.random() * (high - low + 1));
    if (!ports.has(port) && (await isFree(port))) ports.add(port);
  }
  if (ports.size < count) throw new Error(`No ${count} free ports between ${low} and ${high} on 127.0.0.1 after ${TRIES} tries.`);
  return [...ports];
}

/**
 * Whether somebody accepts connections there.
 *
 * @param {number} port
 * @returns {Promise<boolean>}
 */
export const accepts = (port) => replies(port, undefined, () => true);

/**
 * Whether what listens there answers to these bytes, in its first packet, with what passes `test`. Without bytes a connection is
 * enough.
 *
 * @param {number} port
 * @param {string | Uint8Array | undefined} bytes
 * @param {(reply: Buffer) => boolean} test
 * @returns {Promise<boolean>}
 */
export function replies(port, bytes, test) {
  return new Promise((resolve) => {
    const socket = net.connect({ host: '127.0.0.1', port });
    const done = (answer) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(2000, () => done(false));
    socket.once('error', () => done(false));
    socket.once('close', () => done(false));
    socket.once('connect', () => (bytes === undefined ? done(true) : socket.write(bytes)));
    socket.once('data', (reply) => done(test(reply)));
  });
}

/**
 * Whether a GET there answers 200 in time, and its text passes `test`.
 *
 * @param {string} url
 * @param {{ headers?: Record<string, string>, test?: (text: string) => boolean }} [options]
 * @returns {Promise<boolean>}
 */
export async function getsOk(url, { headers = {}, test = () => true } = {}) {
  try {
    const response = await fetch(url, { headers, signal: AbortSignal.timeout(5000) });
    const text = await response.text();
    return response.status === 200 && test(text);
  } catch {
    return false;
  }
}
