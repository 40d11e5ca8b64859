/** Answers of a broker that get lost: the connection of one request is destroyed, at a chosen moment. */

import net from 'node:net';
import type { TestContext } from 'node:test';

/** Keys of requests, as in Kafka's protocol guide. */
export const API = { produce: 0, addPartitions: 24, addOffsets: 25, endTxn: 26, txnOffsetCommit: 28 } as const;

/**
 * The connections that are open, or will be. A connection tells by its bytes which request it carries: size, key, ...
 * (one write is one request, or the first of several).
 */
const losses = new Set<Loss>();
interface Loss {
  readonly apiKey: number;
  readonly when: Moment | Promise<void>;
  lost: number;
}
let isPatched = false;

/** Not sent at all; sent, and destroyed at once; carried out, and the answer thrown away. */
export type Moment = 'before' | 'behind' | 'unread';

/** The next request of this kind, on any connection of this process, loses its answer. */
export function loseAnswer(t: TestContext, apiKey: number, when: Moment): { lost(): number } {
  return add(t, { apiKey, when, lost: 0 });
}

/** The next request of this kind is sent only when `release` resolves. */
export function holdRequest(t: TestContext, apiKey: number, release: Promise<void>): { lost(): number } {
  return add(t, { apiKey, when: release, lost: 0 });
}

function add(t: TestContext, loss: Loss): { lost(): number } {
  patch();
  losses.add(loss);
  t.after(() => losses.delete(loss));
  return { lost: () => loss.lost };
}

/** Sockets are patched by their class, so that those that are open already are, too. */
function patch(): void {
  if (isPatched) return;
  isPatched = true;
  const { write } = net.Socket.prototype;
  net.Socket.prototype.write = function (this: net.Socket, ...args: unknown[]): boolean {
    const bytes = args[0];
    const apiKey = Buffer.isBuffer(bytes) && bytes.length > 8 && this.remotePort !== undefined ? bytes.readInt16BE(4) : -1;
    const loss = [...losses].find((each) => each.apiKey === apiKey);
    if (loss === undefined) return write.apply(this, args as Parameters<typeof write>);
    losses.delete(loss);
    loss.lost++;
    if (loss.when instanceof Promise) {
      void loss.when.then(() => write.apply(this, args as Parameters<typeof write>));
      return true;
    }
    if (loss.when === 'before') {
      this.destroy(new Error('lost before it was sent'));
      return false;
    }
    const result = write.apply(this, args as Parameters<typeof write>);
    if (loss.when === 'behind') setImmediate(() => this.destroy(new Error('lost behind its sending')));
    else {
      this.removeAllListeners('data');
      this.on('data', () => this.destroy(new Error('lost when it was answered')));
    }
    return result;
  } as typeof write;
}
