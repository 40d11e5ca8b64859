/**
 * What the checker does to a job from within: loaded with --import before `millrace run`, in the main thread and in
 * every worker. The package itself has no such switch: this file wraps methods of its classes, and does nothing unless
 * the checker has set one of these for the child process.
 *
 *   MILLRACE_KILL_AT=manifest-written:3    kill -9 when the point is reached for the third time, in any one thread
 *   MILLRACE_STOP_AT=manifest-written:3    SIGSTOP, the same way
 *   MILLRACE_CANARY=dropped-block          a planted bug (canaries.ts), which the checker has to find
 */

import net from 'node:net';
import { isMainThread } from 'node:worker_threads';
import { plant } from './canaries.ts';
import type { KillPoint } from './points.ts';
import { around, isCanary } from './wrapping.ts';

const END_TXN = 26;
const order = (['KILL', 'STOP'] as const).flatMap((how) => {
  const [point, times] = process.env[`MILLRACE_${how}_AT`]?.split(':') ?? [];
  return point === undefined ? [] : [{ signal: `SIG${how}` as const, point: point as KillPoint, times: Number(times ?? 1) }];
})[0];
let left = order?.times ?? 0;

function reached(point: KillPoint): void {
  if (order?.point !== point || --left !== 0) return;
  process.kill(process.pid, order.signal);
}

const canary = process.env['MILLRACE_CANARY'];
if (order !== undefined) await (isMainThread ? ofTheJob() : ofAWorker());
if (isCanary(canary)) await plant(canary);
else if (canary !== undefined) throw new Error(`MILLRACE_CANARY is ${canary}, which is no canary`);

async function ofTheJob(): Promise<void> {
  const { Sinks } = await import('../../runtime/job/sinks.ts');
  const { CheckpointDir } = await import('../../runtime/checkpoint/index.ts');
  const { NodeDisk } = await import('../../runtime/disk/index.ts');
  const { KafkaTransaction } = await import('../../io/kafka/transactions.ts');
  const behind = (type: { readonly prototype: object }, method: string, point: KillPoint): void =>
    around(type, method, async (original) => {
      const result = await original();
      reached(point);
      return result;
    });
  around(Sinks, 'prepare', async (original) => {
    reached('before-prepare');
    await original();
    reached('prepared');
  });
  around(NodeDisk, 'rename', (original, _from, to) => {
    if (String(to).endsWith('.manifest')) reached('segments-synced');
    return original();
  });
  behind(CheckpointDir, 'write', 'manifest-written');
  behind(KafkaTransaction, 'commit', 'committed');
  behind(Sinks, 'commit', 'sinks-committed');
  behind(CheckpointDir, 'prune', 'pruned');
  behind(KafkaTransaction, 'recover', 'recovered');
  behind(Sinks, 'recover', 'sinks-recovered');
  around(net.Socket, 'write', (original, bytes) => {
    const result = original();
    if (Buffer.isBuffer(bytes) && bytes.length > 8 && bytes.readInt16BE(4) === END_TXN) reached('commit-sent');
    return result;
  });
}

async function ofAWorker(): Promise<void> {
  const { SegmentFiles } = await import('../../runtime/state-log/index.ts');
  around(SegmentFiles, 'append', (original, pieces) => {
    reached('frames-unwritten');
    if (order?.point === 'frames-torn' && left === 1) {
      const bytes = Buffer.concat(pieces as readonly Uint8Array[]);
      original([bytes.subarray(0, bytes.length >>> 1)]);
      reached('frames-torn');
    }
    if (order?.point === 'frames-torn') left--;
    original();
    reached('frames-written');
  });
}
