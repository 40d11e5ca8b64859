/**
 * A copying job whose processes are killed, and stopped and woken again beside their successors, at random. What a
 * read_committed reader sees in the end is the input: each row once, in order.
 */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Schema } from '../../core/index.ts';
import { kafka } from '../../io/kafka/index.ts';
import { effortCount, seedOf } from '../seed.ts';
import { TYPESCRIPT } from '../typescript.ts';
import { openStage, pause, recordBatchOf, textValue, until } from './kafka-fixture.ts';

const PARTITIONS = 3;
const copier = fileURLToPath(new URL('fixtures/kafka-copier.ts', import.meta.url));

/** Numbers from 0 to 1 (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let word = Math.imul(state ^ (state >>> 15), 1 | state);
    word ^= word + Math.imul(word ^ (word >>> 7), 61 | word);
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
  };
}

test('a copying job under kill -9, and with zombies: no row lost, none twice', { timeout: 600_000 }, async (t) => {
  const stage = await openStage(t);
  if (stage === undefined) return;
  const [input, output, id] = [await stage.topic(PARTITIONS), await stage.topic(PARTITIONS), `copy-${randomBytes(4).toString('hex')}`];
  const random = randomFrom(seedOf(10));
  const children = new Set<ChildProcess>();
  t.after(() => {
    for (const child of children) child.kill('SIGKILL');
  });
  const exits: (number | string | null)[] = [];
  const start = (): ChildProcess => {
    const child = spawn(process.execPath, [...TYPESCRIPT, copier, stage.brokers.join(','), input, output, id], { stdio: ['ignore', 'ignore', 'inherit'] });
    children.add(child);
    child.once('exit', (code, signal) => {
      children.delete(child);
      exits.push(signal ?? code);
    });
    return child;
  };

  // Rows come all the time, in batches of a few.
  const written: number[] = new Array<number>(PARTITIONS).fill(0);
  let isOver = false;
  const writer = await kafka
    .sink({ brokers: stage.brokers, topic: input, value: textValue })
    .open({ schema: textValue.schema as Schema, pipeline: 'feed', signal: new AbortController().signal });
  t.after(() => writer.close());
  const feeding = (async () => {
    while (!isOver) {
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const from = written[partition] as number;
        const values = Array.from({ length: 1 + Math.floor(random() * 5) }, (_, i) => String(from + i));
        written[partition] = from + values.length;
        await writer.write({ epoch: 1, unit: 0, partition, rowCount: values.length, bytes: recordBatchOf(values) });
      }
      await pause(15);
    }
  })();

  const positions = async (): Promise<number> =>
    (await stage.admin.fetchOffsets({ groupId: `millrace.${id}` }))
      .flatMap((each) => each.partitions)
      .reduce((sum, { offset }) => Math.max(sum, Number(offset)), -1);
  const valuesIn = async (): Promise<string[][]> => {
    const reading = await stage.open({ topic: output, group: `back-${randomBytes(4).toString('hex')}` }, { drain: true });
    await until('the end', () => reading.ended.size === reading.reader.partitionCount);
    await reading.reader.close();
    return Array.from({ length: PARTITIONS }, (_, partition) => reading.valuesOf(partition));
  };
  let live = start();
  let kills = 0;
  let zombies = 0;
  for (let round = 0; round < effortCount(5); round++) {
    const before = await positions();
    await until(
      'the job to go on',
      async () => {
        if (!children.has(live)) live = start();
        return (await positions()) > before;
      },
      60,
    );
    await pause(random() * 300);
    if (random() < 0.5) {
      kills++;
      live.kill('SIGKILL');
      live = start();
    } else {
      zombies++;
      const zombie = live;
      zombie.kill('SIGSTOP');
      live = start();
      await pause(random() * 1_500);
      zombie.kill('SIGCONT');
    }
  }
  isOver = true;
  await feeding;
  const total = written.reduce((sum, count) => sum + count, 0);
  // By what it has committed it is done; whether that is true, the rows tell.
  await until(
    'the job to have copied all',
    async () => {
      if (!children.has(live)) live = start();
      await pause(100);
      const [copied] = await stage.admin.fetchOffsets({ groupId: id, topics: [input] });
      return (copied?.partitions ?? []).every(({ partition, offset }) => Number(offset) === written[partition]);
    },
    120,
  );
  await until('the last marker', async () => (await valuesIn()).flat().length >= total, 5).catch(() => {});
  const seen = await valuesIn();
  for (let partition = 0; partition < PARTITIONS; partition++) {
    assert.deepEqual(
      seen[partition],
      Array.from({ length: written[partition] as number }, (_, i) => String(i)),
      `partition ${partition}`,
    );
  }
  t.diagnostic(`${total} rows, ${kills} kills, ${zombies} stops; processes ended with ${exits.join(', ')}`);
});
