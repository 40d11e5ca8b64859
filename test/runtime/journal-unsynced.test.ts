/** A journal whose records are appended without waiting for the disk: what a crash may take, and what it may not. */

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { MillraceError } from '../../core/index.ts';
import { JOURNAL_FILE, Journal, type JournalHead, type JournalRecord, readJournal } from '../../runtime/epoch/index.ts';

const head: JournalHead = { pipeline: 'p', sources: ['log in'], base: { epoch: -1, nowMs: 0, positions: [[0]] } };
const record = (epoch: number): JournalRecord => ({ epoch, startMs: epoch, nowMs: epoch + 1, positions: [[10 * (epoch + 1)]], states: [[0]] });
const records = (count: number) => Array.from({ length: count }, (_, epoch) => record(epoch));

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** 8 records, the first 4 of them synced. */
async function written(t: TestContext): Promise<{ path: string; bytes: Buffer }> {
  const journal = await Journal.open(await folder(t), 'p');
  await journal.begin(head, []);
  for (const one of records(4)) await journal.append(one, { sync: false });
  await journal.sync();
  for (const one of records(8).slice(4)) await journal.append(one, { sync: false });
  await journal.close();
  return { path: journal.path, bytes: await readFile(journal.path) };
}

/** Where each line begins; the last one is the end. */
function lineStarts(bytes: Buffer): number[] {
  const starts = [0];
  for (let at = bytes.indexOf(0x0a); at >= 0; at = bytes.indexOf(0x0a, at + 1)) starts.push(at + 1);
  return starts;
}

function verdict(path: string, bytes: Uint8Array, what: string): number | 'refused' {
  try {
    const found = readJournal(path, bytes);
    assert.deepEqual(found.head, head, what);
    assert.deepEqual(found.records, records(found.records.length), what);
    return found.records.length;
  } catch (error) {
    assert.ok(error instanceof MillraceError && error.code === 'ERR_MILLRACE_CORRUPT', `${what}: ${String(error)}`);
    return 'refused';
  }
}

describe('records that are not synced', () => {
  test('are in the file, which says up to where it was synced', async (t) => {
    const { bytes } = await written(t);
    assert.match(bytes.toString(), /^millrace journal 3, epochs before 0000000000000004 are acknowledged, [0-9a-f]{8}\n/);
    assert.equal(verdict('j', bytes, 'whole'), 8);
  });

  test('may be torn anywhere: those in front of the tear count', async (t) => {
    const { path, bytes } = await written(t);
    const starts = lineStarts(bytes);
    const syncedEnd = starts[6] as number;
    for (let length = 0; length < bytes.length; length++) {
      const whole = starts.filter((start) => start <= length).length - 3;
      assert.equal(verdict(path, bytes.subarray(0, length), `${length} bytes`), length < syncedEnd ? 'refused' : whole, `${length} bytes`);
    }
  });

  test('may be lost in the middle, and those behind with them; those that were synced may not', async (t) => {
    const { path, bytes } = await written(t);
    const starts = lineStarts(bytes);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes);
      changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
      const line = starts.findLastIndex((start) => start <= bit >> 3);
      assert.equal(verdict(path, changed, `bit ${bit}`), line < 6 ? 'refused' : line - 2, `bit ${bit & 7} of byte ${bit >> 3}, line ${line}`);
    }
    for (let line = 2; line < 10; line++) {
      const changed = Buffer.from(bytes).fill(0, starts[line], starts[line + 1]);
      assert.equal(verdict(path, changed, `line ${line} zeroed`), line < 6 ? 'refused' : line - 2);
    }
  });

  test('come before one that is: then all are on disk', async (t) => {
    const journal = await Journal.open(await folder(t), 'p');
    await journal.begin(head, []);
    await Promise.all([journal.append(record(0), { sync: false }), journal.append(record(1), { sync: false }), journal.append(record(2))]);
    assert.match(await readFile(journal.path, 'utf8'), /^millrace journal 3, epochs before 0000000000000003 are/);
    await journal.close();
  });

  test('a journal that syncs each record stays as strict as it was', async (t) => {
    const dir = await folder(t);
    const journal = await Journal.open(dir, 'p');
    await journal.begin(head, []);
    for (const one of records(3)) await journal.append(one);
    await journal.close();
    assert.match(await readFile(join(dir, JOURNAL_FILE), 'utf8'), /^millrace journal 2, /);
  });

  test('a later format is named', async (t) => {
    const { path, bytes } = await written(t);
    const { crc32cBytes } = await import('../../core/index.ts');
    const covered = 'millrace journal 4, epochs before 0000000000000004 are acknowledged, ';
    const first = `${covered}${crc32cBytes(Buffer.from(covered)).toString(16).padStart(8, '0')}\n`;
    await writeFile(path, Buffer.concat([Buffer.from(first), bytes.subarray(bytes.indexOf(0x0a) + 1)]));
    await assert.rejects(Journal.open(join(path, '..'), 'p'), { code: 'ERR_MILLRACE_CHECKPOINT', message: /has the format 4; this version reads 2 and 3/ });
  });

  test('trim keeps what is behind the epoch that was named', async (t) => {
    const dir = await folder(t);
    const journal = await Journal.open(dir, 'p');
    // As many as make it write its file anew.
    await journal.begin(head, records(1_200));
    journal.keepBehind(1_100);
    journal.trim(1_150);
    await journal.close();
    const again = await Journal.open(dir, 'p');
    assert.deepEqual([again.head?.base.epoch, again.records], [1_100, records(1_200).slice(1_101)]);
    await again.close();
  });
});
