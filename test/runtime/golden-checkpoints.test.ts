/**
 * Golden checkpoints (test/golden): directories as earlier versions of the package, and other versions of Node, have written them. Each is
 * read, and what comes out behind it is what came out then; or it is refused by name.
 */

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { ALL, records, writeNew, writeRead } from '../golden/rows.ts';
import { EXPECTED, type Outputs, outputs } from '../golden/run.ts';

const GOLDEN = new URL('../golden/checkpoints/', import.meta.url);
const names = (await readdir(GOLDEN)).sort();

/** A folder in which a job can go on from a golden checkpoint, with all rows there are. */
async function folder(t: TestContext, name: string): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  await mkdir(join(dir, 'state'));
  for (const file of await readdir(new URL(`${name}/`, GOLDEN))) {
    if (file === EXPECTED) continue;
    await writeFile(join(dir, 'state', file.replace(/\.gz$/, '')), gunzipSync(await readFile(new URL(`${name}/${file}`, GOLDEN))));
  }
  await writeRead(dir);
  await writeNew(dir);
  return dir;
}

test('there are golden checkpoints', () => assert.ok(names.length >= 4 && names.some((name) => name.startsWith('tables-'))));

for (const name of names.filter((one) => one !== 'later-format')) {
  test(`${name} is read, with every kind of state`, async (t) => {
    const dir = await folder(t, name);
    const expected = JSON.parse(gunzipSync(await readFile(new URL(`${name}/${EXPECTED}`, GOLDEN))).toString()) as Outputs;
    const found = await outputs(name, dir, { trigger: '1h', drain: 'emit' });
    assert.deepEqual(Object.keys(found), Object.keys(expected));
    for (const [output, rows] of Object.entries(found)) assert.deepEqual(rows, expected[output], output);
    if (name.startsWith('tables-')) return;
    // That much follows from the rows alone: running aggregates have those of before and after.
    const counts = new Map<string, number>();
    for (const text of records('left', 0, ALL)) {
      const { key } = JSON.parse(text) as { key: string };
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    const running = (found['running'] ?? []).map((text) => Object.fromEntries(JSON.parse(text) as [string, unknown][]));
    for (const [key, count] of counts) assert.equal(Math.max(...running.filter((row) => row['key'] === key).map((row) => row['rows'] as number)), count);
  });
}

test('a checkpoint of a later format is refused by its number', async (t) => {
  const dir = await folder(t, 'later-format');
  await assert.rejects(outputs('later-format', dir, {}), {
    code: 'ERR_MILLRACE_CHECKPOINT',
    message: /has the format 999; this version of millrace reads 1\. Go on with the version that wrote it/,
  });
});
