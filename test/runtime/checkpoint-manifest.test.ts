/** Manifests as bytes: what is written comes back, and nothing else is taken for a manifest. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MillraceError, seededRng } from '../../core/index.ts';
import type { Manifest } from '../../runtime/checkpoint/index.ts';
import { decodeManifest, encodeManifest, MANIFEST_BYTES_MAX } from '../../runtime/checkpoint/manifest-text.ts';
import { caseCount, effortCount, fc, seedOf } from '../seed.ts';
import { jsonOf, manifestOf, manifests, sealed } from './checkpoint-manifests.ts';

function damageOf(bytes: Uint8Array, what = ''): string {
  const read = decodeManifest('m', bytes);
  assert.ok('damage' in read, `${what}: taken for a manifest`);
  return read.damage;
}

function read(bytes: Uint8Array): Manifest {
  const found = decodeManifest('m', bytes);
  assert.ok('manifest' in found, 'damage' in found ? found.damage : '');
  return found.manifest;
}

describe('a manifest', () => {
  test('comes back as it was written, infinite times and all', () => {
    fc.assert(
      fc.property(manifests, (manifest) => {
        // fast-check makes objects without a prototype.
        assert.deepEqual(read(encodeManifest(manifest)), structuredClone(manifest));
      }),
      { numRuns: caseCount(300) },
    );
  });

  test('can be read by people: a first line, and a line for each thing', () => {
    const lines = Buffer.from(encodeManifest(manifestOf({ run: 3, checkpoint: 12 })))
      .toString()
      .split('\n');
    assert.match(lines[0] as string, /^millrace checkpoint 1 [0-9a-f]{8} \d+$/);
    assert.deepEqual(lines.slice(1, 4), ['{', '"format": 1,', '"millrace": "0.1.0",']);
    assert.ok(lines.includes('  {"name":"log in-1","positions":[{"offset":120},{"offset":7,"drained":9}]}'));
    assert.ok(lines.includes('"heldUntil": ["-Infinity"],'), lines.join('\n'));
  });

  for (const [what, wrong] of [
    ['no number', { nowMs: Number.NaN }],
    ['a negative offset', { sources: [{ name: 's', positions: [{ offset: -1 }] }] }],
    ['a fraction of an offset', { sources: [{ name: 's', positions: [{ offset: 1.5 }] }] }],
    ['fewer watermarks than the plan has', { watermarks: [] }],
    ['more exchanges than the plan has', { heldUntil: [1, 2] }],
    ['a segment that is none', { segments: [{ name: '../../x', from: 0, to: 1 }] }],
    ['a segment of a later run', { segments: [{ name: 'segment-00000004-000-0000000001.redo', from: 0, to: 1 }] }],
    ['epochs behind the checkpoint', { segments: [{ name: 'segment-00000003-000-0000000001.redo', from: 0, to: 13 }] }],
    ['a run that began from itself', { from: { run: 3, checkpoint: 2 } }],
    ['a run that began later than it is', { from: { run: 2, checkpoint: 13 } }],
  ] as const) {
    test(`${what} is not written`, () => {
      assert.throws(() => encodeManifest(manifestOf({ run: 3, checkpoint: 12, ...(wrong as Partial<Manifest>) })), {
        code: 'ERR_MILLRACE_CHECKPOINT',
        message: /checkpoint 12 cannot be written/,
      });
    });
  }
});

describe('what is damaged is refused:', () => {
  const whole = encodeManifest(manifestOf({ run: 3, checkpoint: 12 }));

  test('cut off at every length, and one byte too long', () => {
    for (let length = 0; length < whole.length; length++) damageOf(whole.subarray(0, length), `${length} bytes`);
    damageOf(Buffer.concat([whole, Buffer.from('\n')]));
  });

  test('every bit flipped', () => {
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const bytes = Buffer.from(whole);
      bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
      damageOf(bytes, `bit ${bit & 7} of byte ${bit >> 3}`);
    }
  });

  test('bytes overwritten, removed, doubled, or from another manifest', () => {
    const other = encodeManifest(manifestOf({ run: 3, checkpoint: 13 }));
    const rng = seededRng(seedOf(1));
    for (let i = 0; i < effortCount(3_000); i++) {
      rng.seek(i);
      const from = rng.int(whole.length);
      const to = from + 1 + rng.int(Math.min(600, whole.length - from));
      const change = rng.pick([
        () => [whole.subarray(0, from), Buffer.alloc(to - from), whole.subarray(to)],
        () => [whole.subarray(0, from), Buffer.alloc(to - from, 0xff), whole.subarray(to)],
        () => [whole.subarray(0, from), whole.subarray(to)],
        () => [whole.subarray(0, to), whole.subarray(from)],
        () => [whole.subarray(0, from), other.subarray(from)],
        () => [other.subarray(0, from), whole.subarray(from)],
      ]);
      const bytes = Buffer.concat(change());
      if (bytes.equals(whole) || bytes.equals(other)) continue;
      damageOf(bytes, `change ${i}`);
    }
  });

  test('more bytes than a manifest may have, before anything is read', () => {
    assert.match(damageOf(new Uint8Array(MANIFEST_BYTES_MAX + 1)), /longer than/);
  });

  test('a length that is not that of the file', () => {
    assert.match(damageOf(Buffer.from('millrace checkpoint 1 00000000 9999999999\n{}')), /2 bytes follow its first line, which says 9999999999/);
  });
});

describe('what has the right checksum, and is no manifest', () => {
  test('a later format is named, and nothing else is taken in its place', () => {
    assert.throws(() => decodeManifest('DIR/checkpoint-1', sealed('what comes then', 2)), {
      code: 'ERR_MILLRACE_CHECKPOINT',
      message:
        'The checkpoint DIR/checkpoint-1 has the format 2; this version of millrace reads 1. Go on with the version that wrote it, or a later one, or give another directory.',
    });
    assert.match(damageOf(sealed('{}', 0)), /run is undefined/);
  });

  for (const [what, json, reason] of [
    ['nothing', '', /no JSON/],
    ['no JSON', '{', /no JSON/],
    ['no text', Buffer.from([0x22, 0xff, 0x22]), /no JSON/],
    ['null', 'null', /it is null, and no object/],
    ['a list', '[]', /no object/],
    ['members that are inherited', '{"__proto__": {"run": 1}}', /run is undefined/],
    ['a list 200,000 deep', '['.repeat(200_000) + ']'.repeat(200_000), /no object|no JSON/],
  ] as const) {
    test(`${what} is refused`, () => {
      assert.match(damageOf(sealed(json)), reason);
    });
  }

  test('facts too deep for those who compare plans', () => {
    // What compares them calls itself; so does JSON.stringify of older versions of Node.
    const deep = '['.repeat(5_000) + ']'.repeat(5_000);
    const json = JSON.stringify(jsonOf(manifestOf({ run: 1, checkpoint: 1 })));
    const hostile = json.replace(/"facts":\{[^}]*\}/, `"facts":${deep}`);
    assert.notEqual(hostile, json);
    assert.match(damageOf(sealed(hostile)), /facts is more than 64 levels deep/);
  });

  /** Replaces, removes or adds one thing somewhere in a value. */
  function changed(value: unknown, rng: ReturnType<typeof seededRng>): unknown {
    const hostile = [null, true, -1, 0.5, 1e300, 2 ** 53, -0, '', 'x', '-1', 'NaN', 'Infinity', '__proto__', [], {}, [[]], { length: 3 }];
    if (typeof value !== 'object' || value === null || rng.chance(0.15)) {
      if (typeof value === 'number' && rng.chance(0.5)) return rng.pick([value + 1, value - 1, -value, value * 2 ** 40, value + 0.5]);
      return rng.pick<unknown>(hostile);
    }
    if (Array.isArray(value)) {
      const at = rng.int(value.length + 1);
      const how = rng.int(4);
      if (how === 0 || at === value.length)
        return [...value.slice(0, at), value.length > 0 ? rng.pick<unknown>(value) : rng.pick<unknown>(hostile), ...value.slice(at)];
      if (how === 1) return value.filter((_, i) => i !== at);
      return value.map((one: unknown, i) => (i === at ? changed(one, rng) : one));
    }
    const entries = Object.entries(value);
    if (entries.length === 0) return { x: 1 };
    const at = rng.int(entries.length);
    const [name, one] = entries[at] as [string, unknown];
    const how = rng.int(5);
    const rest = entries.filter((_, i) => i !== at);
    if (how === 0) return Object.fromEntries(rest);
    if (how === 1) return Object.fromEntries([...rest, [rng.pick(['toString', 'constructor', 'x']), one]]);
    return Object.fromEntries([...rest, [name, changed(one, rng)]]);
  }

  test('is refused, or it is one that could have been written', () => {
    const kinds = fc.sample(manifests, { numRuns: 20, seed: seedOf(7) });
    const rng = seededRng(seedOf(3));
    let refused = 0;
    const cases = effortCount(1_500);
    for (let i = 0; i < cases; i++) {
      rng.seek(i);
      let json = jsonOf(i % 2 === 0 ? manifestOf({ run: 3, checkpoint: 12 }) : (kinds[i % kinds.length] as Manifest));
      for (let changes = 1 + rng.int(2); changes > 0; changes--) json = changed(json, rng);
      const bytes = sealed(JSON.stringify(json));
      let found: ReturnType<typeof decodeManifest>;
      try {
        found = decodeManifest('m', bytes);
      } catch (error) {
        assert.ok(error instanceof MillraceError, `case ${i}: ${String(error)}`);
        continue;
      }
      if ('damage' in found) {
        refused++;
        assert.ok(found.damage.length < 400, `case ${i}: ${found.damage.slice(0, 500)}`);
      } else {
        checkInvariants(found.manifest, `case ${i}`);
        assert.deepEqual(read(encodeManifest(found.manifest)), found.manifest, `case ${i}`);
      }
    }
    assert.ok(refused > cases / 4 && refused < cases, `${refused} of ${cases} refused`);
  });
});

/** What the rest of the runtime relies on, said a second time. */
function checkInvariants(manifest: Manifest, what: string): void {
  const isWhole = (value: unknown) => typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 53 && !Object.is(value, -0);
  const isTime = (value: unknown) => typeof value === 'number' && !Number.isNaN(value);
  const { operators } = manifest.plan.plan;
  assert.ok(isWhole(manifest.run) && manifest.run >= 1 && isWhole(manifest.checkpoint) && isTime(manifest.nowMs) && isTime(manifest.writtenAtMs), what);
  assert.equal(manifest.sources.length, operators.filter(({ kind }) => kind === 'source').length, what);
  assert.equal(manifest.watermarks.length, operators.filter(({ kind }) => kind === 'watermark').length, what);
  for (const { name, positions } of manifest.sources) {
    assert.equal(typeof name, 'string', what);
    for (const { offset, drained } of positions) assert.ok(isWhole(offset) && (drained === undefined || isWhole(drained)), what);
  }
  for (const { currentMs, partitions } of manifest.watermarks) {
    assert.ok(isTime(currentMs), what);
    for (const { partition, maxMs, state } of partitions) {
      assert.ok(isWhole(partition) && isTime(maxMs) && maxMs < Number.POSITIVE_INFINITY && ['active', 'idle', 'ended'].includes(state), what);
    }
  }
  assert.ok(manifest.heldUntil.every(isTime), what);
  for (const { name, from, to } of manifest.segments) {
    assert.match(name, /^segment-\d{8}-\d{3}-\d{10}\.redo$/, what);
    assert.ok(isWhole(from) && isWhole(to) && from <= to && to <= manifest.checkpoint, what);
  }
  for (const { name, kind, hash, format } of operators) {
    assert.ok([name, kind, hash].every((value) => typeof value === 'string') && isWhole(format), what);
  }
}
