/**
 * log.sink and files.sink, exactly-once, over a process that dies at every single call of the file system: by
 * a kill or with the power, in the middle of a write or before it. Whatever it leaves behind, readers see the
 * rows of whole checkpoints and no others, and the next process goes on without losing or doubling a row.
 */

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, promises, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { seededRng, schema as toSchema, utf8 } from '../../core/index.ts';
import type { SinkWriter } from '../../io/sink.ts';
import { effortCount, seedOf } from '../seed.ts';
import { DyingProcess, failingDisk, leftBehind } from './failing-disk.ts';
import { KINDS, type SinkKind } from './sink-kinds.ts';

// In memory, where there is such a folder: nothing here depends on a disk that is real.
const root = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'millrace-crash-'));
let restore: () => void;
before(async () => {
  restore = await failingDisk(root);
});
after(() => {
  restore();
  rmSync(root, { recursive: true });
});
let folders = 0;
const folder = () => {
  const dir = join(root, String(folders++));
  mkdirSync(dir);
  return dir;
};

const HOWS = ['kill', 'power failure'] as const;
const PARTITIONS = 2;
const CHECKPOINTS = 3;
const EPOCHS_EACH = 2;

/** What must be visible, and what the job knows. */
class Job {
  /** Rows of decided checkpoints, by partition. */
  decided: string[][];
  checkpoint: number;
  /** Rows of the checkpoint that is prepared, and may be decided. */
  prepared: { readonly checkpoint: number; readonly rows: string[][] } | undefined;
  /** Rows that readers must have by now, and those that they may have. */
  must: string[][];
  readonly attempt: number;

  constructor(attempt: number, from?: Job) {
    this.attempt = attempt;
    this.checkpoint = from?.checkpoint ?? -1;
    this.decided = from?.decided ?? [[], []];
    this.must = from?.must ?? [[], []];
  }

  async run(kind: SinkKind, dir: string): Promise<void> {
    const writer = await kind
      .sink(dir)
      .open({ schema: toSchema({ row: utf8 }), pipeline: 'p', signal: new AbortController().signal, guarantee: 'exactly-once' });
    await (writer.recover as NonNullable<SinkWriter['recover']>)(this.checkpoint);
    this.must = this.decided;
    for (let checkpoint = this.checkpoint + EPOCHS_EACH; checkpoint < CHECKPOINTS * EPOCHS_EACH; checkpoint += EPOCHS_EACH) {
      const rows = this.decided.map((of) => [...of]);
      for (let epoch = checkpoint - EPOCHS_EACH + 1; epoch <= checkpoint; epoch++) {
        const writes: Promise<void>[] = [];
        for (let i = 0; i < 3; i++) {
          // The second checkpoint has nothing for one partition; later attempts have nothing for the other one
          // in the rest.
          const partition = checkpoint === 2 * EPOCHS_EACH - 1 ? 1 : i % PARTITIONS;
          if (i === 1 && this.attempt > 0) continue;
          const row = `${epoch}.${i} of attempt ${this.attempt}`;
          rows[partition]?.push(row);
          writes.push(writer.write({ epoch, unit: partition, partition: kind.isAtomic ? partition : 0, rowCount: 1, bytes: await kind.block(row) }));
        }
        await Promise.all(writes);
      }
      await writer.prepare?.(checkpoint);
      this.prepared = { checkpoint, rows };
      // The manifest. Whether a process that dies here has decided, only its successor knows.
      await promises.writeFile(join(root, 'manifest'), String(checkpoint));
      this.decide();
      await writer.commit(checkpoint);
      this.must = this.decided;
    }
    await writer.close();
  }

  decide(): void {
    const { checkpoint, rows } = this.prepared as NonNullable<Job['prepared']>;
    this.checkpoint = checkpoint;
    this.decided = rows;
    this.prepared = undefined;
  }
}

/** Visible rows are those of the last commit, or, while one is under way, some that it adds. */
function check(kind: SinkKind, seen: string[][], job: Job, what: string): void {
  if (kind.isAtomic || JSON.stringify(seen) === JSON.stringify(job.must)) {
    const allowed = [job.must, job.decided].map((rows) => JSON.stringify(rows));
    assert.ok(allowed.includes(JSON.stringify(seen)), `${what}: readers see ${JSON.stringify(seen)}, not ${allowed.join(' or ')}`);
    return;
  }
  seen.forEach((rows, partition) => {
    const most = job.decided[partition] as string[];
    assert.deepEqual(rows, most.slice(0, rows.length), `${what}: partition ${partition}`);
    assert.ok(rows.length >= (job.must[partition] as string[]).length, `${what}: partition ${partition} has lost rows`);
  });
}

for (const kind of KINDS) {
  describe(kind.name, () => {
    test('is exact over a kill, or a power failure, at every call', async () => {
      const rng = seededRng(seedOf(41));
      let points = 0;
      for (; ; points++) {
        const first = new DyingProcess(points + 1, rng.int(2) === 1);
        const left = folder();
        const dead = new Job(0);
        await first.run(() => dead.run(kind, left));
        if (!first.isDead) {
          check(kind, await kind.read(left), dead, 'at the end');
          assert.equal(dead.checkpoint, CHECKPOINTS * EPOCHS_EACH - 1);
          break;
        }
        for (const how of effortCount(1) > 1 ? HOWS : [HOWS[rng.int(2)] as (typeof HOWS)[number]]) {
          // A prepared checkpoint may be decided, or not: both must be possible.
          for (const isDecided of dead.prepared === undefined ? [false] : [false, true]) {
            let job = Object.assign(new Job(0), dead);
            if (isDecided) job.decide();
            let died = `${how} at call ${points + 1} (${first.diedIn})${isDecided ? ', decided' : ''}`;
            let dir = folder();
            leftBehind(left, dir, how);
            check(kind, await kind.read(dir), job, died);
            // The next one dies, too, mostly while it recovers; the one after it lives.
            const second = new DyingProcess(1 + rng.int(25), rng.int(2) === 1);
            job = new Job(1, job);
            await second.run(() => job.run(kind, dir));
            if (second.isDead) {
              died += `, then at ${second.calls} (${second.diedIn})`;
              const next = folder();
              leftBehind(dir, next, how);
              rmSync(dir, { recursive: true });
              dir = next;
              check(kind, await kind.read(dir), job, died);
              if (job.prepared !== undefined && rng.int(2) === 1) job.decide();
              job = new Job(2, job);
              await new DyingProcess().run(() => job.run(kind, dir));
            }
            const seen = await kind.read(dir);
            assert.deepEqual(seen, job.decided, died);
            const strays = readdirSync(dir).filter((name) => /\.(tmp|prepared|new)$/.test(name));
            assert.deepEqual(strays, [], died);
            rmSync(dir, { recursive: true });
          }
        }
        rmSync(left, { recursive: true });
      }
      assert.ok(points > 20, `${points} calls`);
    });
  });
}
