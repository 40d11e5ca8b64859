/**
 * `sinkConformance`: whether a sink holds what its delivery promises (io/sink.ts has the contract). It drives
 * the sink as a job does, over a seeded schedule: rows of several units, empty epochs and large blocks,
 * crashes between any two calls, epochs that come again, a second writer beside the first. After each step it
 * compares what readers see with a model.
 */

import { createMemory, MillraceError, SlabAllocator, shown } from '../../core/index.ts';
import type { Delivery, Sink, SinkWriter } from '../../io/index.ts';
import { type ConformanceRow, SinkModel } from './sink-model.ts';
import { CRASH_POINTS, type CrashPoint, SinkSchedule } from './sink-schedule.ts';

export type { ConformanceRow } from './sink-model.ts';
export type { CrashPoint } from './sink-schedule.ts';

export interface SinkConformanceOptions {
  /**
   * What a reader of the place sees now. Rows of one unit in the order in which readers see them, unless
   * `isOrdered` is false.
   */
  read(place: string): Promise<readonly ConformanceRow[]> | readonly ConformanceRow[];
  /**
   * Leaves the place as a process leaves it that was killed: gives back a lock that the system would give back,
   * or copies what is there to another place and returns its name. The writer is not called again. Without
   * this, nothing is done.
   */
  crash?(place: string, writer: SinkWriter): Promise<string | undefined> | string | undefined;
  /** False: readers see rows in any order. Default: true. */
  readonly isOrdered?: boolean;
  /** Which guarantees to try. Default: both; at-least-once alone for a sink that has no other. */
  readonly guarantees?: readonly ('at-least-once' | 'exactly-once')[];
  /** How many schedules, each at a place of its own. Default 12. */
  readonly schedules?: number;
  /** The same seed gives the same schedules. Default 1. */
  readonly seed?: number;
}

/** One thing that the delivery of the sink asks for. */
export interface ConformanceRule {
  readonly rule: string;
  readonly guarantee: 'at-least-once' | 'exactly-once';
  /** How often it was looked at, and held. 0: the delivery does not ask for it. */
  readonly held: number;
}

export interface SinkConformanceReport {
  readonly sink: string;
  readonly delivery: Delivery;
  readonly seed: number;
  readonly schedules: number;
  readonly starts: number;
  readonly rows: number;
  readonly crashes: Readonly<Record<CrashPoint, number>>;
  /** Second writers: turned away, or let in while the first was shut out. */
  readonly overlaps: { readonly refused: number; readonly fenced: number };
  readonly rules: readonly ConformanceRule[];
}

/**
 * Resolves with what was asked for and held. It needs no test runner.
 *
 * @param sink makes the sink for a place, which is a name of its own: a topic, a folder, a table. Called for
 * every start. It gets rows of { unit: i32, seq: i32, attempt: i32, text: utf8 }
 * @example
 * await sinkConformance((place) => files.sink({ dir: join(root, place), value: json() }), { read: (place) => rowsIn(join(root, place)), crash });
 * @throws MillraceError ERR_MILLRACE_SINK at the first violation, with the steps that led to it;
 * ERR_MILLRACE_OPTION for an invalid option
 */
export async function sinkConformance(sink: (place: string) => Sink | Promise<Sink>, options: SinkConformanceOptions): Promise<SinkConformanceReport> {
  const { seed = 1, schedules = 12, isOrdered = true } = options;
  if (!(Number.isSafeInteger(schedules) && schedules > 0))
    throw new MillraceError('ERR_MILLRACE_OPTION', `sinkConformance: schedules is ${shown(schedules)}; it must be a whole number above 0.`);
  if (typeof sink !== 'function' || typeof options.read !== 'function') {
    throw new MillraceError(
      'ERR_MILLRACE_OPTION',
      'sinkConformance: pass a function that makes the sink for a place, and { read } with one that reads it back.',
    );
  }
  const slabs = new SlabAllocator(createMemory(64 << 20));
  const { name, delivery = 'at-least-once' } = await checked(sink, 'conformance');
  const guarantees = options.guarantees ?? (delivery === 'at-least-once' ? ['at-least-once'] : ['exactly-once', 'at-least-once']);
  const crashes = Object.fromEntries(CRASH_POINTS.map((point) => [point, 0])) as Record<CrashPoint, number>;
  const held = new Map<string, number>();
  const overlaps = { refused: 0, fenced: 0 };
  let starts = 0;
  let rows = 0;
  for (const guarantee of guarantees) {
    if (guarantee === 'exactly-once' && delivery === 'at-least-once') {
      throw new MillraceError(
        'ERR_MILLRACE_OPTION',
        `sinkConformance: the sink ${name} is at-least-once by its delivery, so it cannot be tried as exactly-once.`,
      );
    }
    for (let number = 0; number < schedules; number++) {
      const model = new SinkModel(guarantee === 'at-least-once' ? 'at-least-once' : delivery, isOrdered);
      const schedule = new SinkSchedule({
        place: `conformance-${guarantee}-${seed}-${number}`,
        number,
        seed: seed * 10_007 + number,
        guarantee,
        sink: (place) => checked(sink, place),
        read: async (place) => options.read(place),
        crash: async (place, writer) => options.crash?.(place, writer),
        model,
        slabs,
      });
      try {
        await schedule.run();
      } catch (cause) {
        throw new MillraceError(
          'ERR_MILLRACE_SINK',
          `The sink ${name} does not do what '${delivery}' promises, ${guarantee}: ${(cause as Error).message} Schedule ${number} of seed ${seed}: ${schedule.steps.join(', ')}.`,
          { cause },
        );
      }
      starts += schedule.starts;
      rows += model.rowCount;
      overlaps.refused += schedule.refused;
      overlaps.fenced += schedule.fenced;
      for (const point of schedule.crashes) crashes[point]++;
      for (const [rule, times] of model.held) held.set(`${guarantee} ${rule}`, (held.get(`${guarantee} ${rule}`) ?? 0) + times);
    }
  }
  const rules = guarantees.flatMap((guarantee) => SinkModel.RULES.map((rule) => ({ rule, guarantee, held: held.get(`${guarantee} ${rule}`) ?? 0 })));
  return { sink: name, delivery, seed, schedules, starts, rows, crashes, overlaps, rules };
}

/** The sink of a place. What its delivery asks for must be there. */
async function checked(make: (place: string) => Sink | Promise<Sink>, place: string): Promise<Sink> {
  const sink = await make(place);
  if (sink.delivery === 'transactional' && sink.transactions === undefined) {
    throw new MillraceError('ERR_MILLRACE_SINK', `The sink ${sink.name} is transactional by its delivery, but has no transactions.`);
  }
  return sink;
}
