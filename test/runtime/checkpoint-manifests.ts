/** Manifests for tests. */

import { crc32cBytes } from '../../core/index.ts';
import { MANIFEST_FORMAT, type Manifest } from '../../runtime/checkpoint/index.ts';
import { encodeManifest } from '../../runtime/checkpoint/manifest-text.ts';
import type { PlanIdentity } from '../../runtime/plan/index.ts';
import { segmentName } from '../../runtime/state-log/frames.ts';
import { fc } from '../seed.ts';

const operator = (kind: string, number: number, format: number, facts: unknown) => ({
  name: `${kind} ${number}`,
  kind,
  hash: '0123456789abcdef',
  format,
  facts,
});

export function planOf(pipeline: string, sources = 1, watermarks = 1, exchanges = 1): PlanIdentity {
  const numbers = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
  return {
    pipeline,
    operators: [
      ...numbers(sources).map((n) => operator('source', n, 0, { name: `log in-${n}`, schema: 'page: utf8' })),
      ...numbers(watermarks).map((n) => operator('watermark', n, 1, { column: 'time', delayMs: 5_000 })),
      ...numbers(exchanges).map((n) => operator('aggregate', n, 1, { values: ['count'], window: { sizeMs: 60_000 } })),
      operator('sink', 1, 0, { name: 'log out' }),
    ],
    wires: ['source 1 -> aggregate 1, input 0', 'aggregate 1 -> sink 1'],
    views: [],
  };
}

/** A small manifest, with a segment of its run where none is given. */
export function manifestOf(of: Partial<Manifest> & { readonly run: number; readonly checkpoint: number }): Manifest {
  const { run, checkpoint } = of;
  return {
    format: MANIFEST_FORMAT,
    millrace: '0.1.0',
    written: checkpoint,
    from: null,
    writtenAtMs: 1_760_000_000_000 + checkpoint,
    plan: { format: 2, plan: planOf('p') },
    nowMs: 1_760_000_000_000.5,
    sources: [{ name: 'log in-1', positions: [{ offset: 10 * checkpoint }, { offset: 7, drained: 9 }] }],
    watermarks: [
      {
        currentMs: 1_759_999_000_000,
        partitions: [
          { partition: 0, maxMs: 1_759_999_005_000, state: 'active' },
          { partition: 1, maxMs: Number.NEGATIVE_INFINITY, state: 'idle' },
        ],
      },
    ],
    heldUntil: [Number.NEGATIVE_INFINITY],
    segments: [{ name: segmentName({ run, worker: 0, from: 1 }), from: 0, to: checkpoint }],
    stateBytes: 4_096,
    operators: [{ name: 'aggregate 1', shards: 64, bytes: 4_096 }],
    ...of,
  };
}

/** A file with this content after the first line, whatever it is, and with the right checksum. */
export function sealed(json: string | Uint8Array, format = 1): Uint8Array {
  const body = Buffer.from(json as string);
  const checksum = crc32cBytes(body, 0, body.length, crc32cBytes(Buffer.from(`millrace checkpoint ${format} ${body.length}\n`)));
  return Buffer.concat([Buffer.from(`millrace checkpoint ${format} ${checksum.toString(16).padStart(8, '0')} ${body.length}\n`), body]);
}

/** The JSON of a manifest, as its file has it. */
export function jsonOf(manifest: Manifest): unknown {
  const text = Buffer.from(encodeManifest(manifest)).toString();
  return JSON.parse(text.slice(text.indexOf('\n')));
}

const wholeNumbers = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const times = fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.constantFrom(Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 0));
const seen = times.filter((ms) => ms !== Number.POSITIVE_INFINITY);
const texts = fc.string({ unit: 'binary' }).filter((text) => Buffer.from(text).toString() === text);

/** Any manifest that may be written. */
export const manifests: fc.Arbitrary<Manifest> = fc
  .tuple(fc.integer({ min: 1, max: 99_999_999 }), wholeNumbers, fc.nat({ max: 3 }), fc.nat({ max: 3 }), fc.nat({ max: 3 }), texts)
  .chain(([run, checkpoint, sources, watermarks, exchanges, pipeline]) =>
    fc.record<Manifest>({
      format: fc.constant(MANIFEST_FORMAT),
      millrace: texts,
      run: fc.constant(run),
      checkpoint: fc.constant(checkpoint),
      written: fc.integer({ min: checkpoint, max: Number.MAX_SAFE_INTEGER }),
      from:
        run === 1
          ? fc.constant(null)
          : fc.option(fc.record({ run: fc.integer({ min: 1, max: run - 1 }), checkpoint: fc.nat({ max: checkpoint }) }), { nil: null }),
      writtenAtMs: times,
      plan: fc.record({ format: wholeNumbers, plan: fc.constant(planOf(pipeline, sources, watermarks, exchanges)) }),
      nowMs: times,
      sources: fc.array(
        fc.record({
          name: texts,
          positions: fc.array(fc.oneof(fc.record({ offset: wholeNumbers }), fc.record({ offset: wholeNumbers, drained: wholeNumbers })), { maxLength: 4 }),
        }),
        { minLength: sources, maxLength: sources },
      ),
      watermarks: fc.array(
        fc.record({
          currentMs: times,
          partitions: fc.uniqueArray(
            fc.record({ partition: fc.nat({ max: 1_000 }), maxMs: seen, state: fc.constantFrom('active' as const, 'idle' as const, 'ended' as const) }),
            { selector: ({ partition }) => partition, maxLength: 4 },
          ),
        }),
        { minLength: watermarks, maxLength: watermarks },
      ),
      heldUntil: fc.array(times, { minLength: exchanges, maxLength: exchanges }),
      segments: fc.uniqueArray(
        fc
          .tuple(
            fc.integer({ min: 1, max: run }),
            fc.nat({ max: 999 }),
            fc.nat({ max: 9_999_999_999 }),
            fc.nat({ max: checkpoint }),
            fc.nat({ max: checkpoint }),
          )
          .map(([of, writer, sequence, a, b]) => ({
            name: segmentName({ run: of, worker: writer, from: sequence }),
            from: Math.min(a, b),
            to: Math.max(a, b),
          })),
        { selector: ({ name }) => name, maxLength: 4 },
      ),
      stateBytes: wholeNumbers,
      operators: fc.array(fc.record({ name: texts, shards: wholeNumbers, bytes: wholeNumbers }), { maxLength: 2 }),
    }),
  );
