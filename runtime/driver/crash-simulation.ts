/**
 * A job that is taken through its epochs step by step. A seed draws the order among all orders that a job
 * could see. So the job can be left at any step, as by a crash. A successor starts from what it leaves
 * behind, its world. The only time is the world's.
 *
 * A step is one of: read (a frame of a source), cut (the epoch ends), scan (an engine, a chunk), merge (an
 * engine, one step of an epoch's end), and two for each thing that the coordinator asks for: it is done
 * outside (record, write, checkpoint, publish, commit), and the coordinator is told (recorded, written, ...). At most two
 * epochs are under way, as in a job.
 */

import { type AnyRow, type SeekableRng, seededRng } from '../../core/index.ts';
import type { Plan } from '../plan/index.ts';
import { KeptState } from './kept-state.ts';
import { Outside } from './outside.ts';
import { ThreadlessJob, type Wish } from './threadless-job.ts';

const MEMORY_BYTES = 24 << 20;
/** Reading a frame takes less than this. */
const READ_MS_MAX = 30;

/** The steps in which the coordinator is told, by what it asked for. */
export const TOLD = { record: 'recorded', write: 'written', checkpoint: 'checkpointed', publish: 'published', commit: 'committed' } as const;

/** Rows that a source gets at once, and hands over at once. */
export interface SimulatedFrame {
  readonly source: number;
  readonly partition: number;
  readonly rows: readonly AnyRow[];
}

/** What comes in, round by round. All sources end after the last round. */
export interface SimulatedInput {
  readonly plan: Plan;
  readonly partitions: number;
  readonly shards: number;
  readonly rounds: readonly {
    readonly frames: readonly SimulatedFrame[];
    /** How long until the next round. */
    readonly passMs: number;
  }[];
  /** These sources are read before the others at every start: tables. */
  readonly readFirst?: readonly number[];
  /** There is a store for decisions, like the checkpoint directory of a job. */
  readonly keepsDecisions?: boolean;
  /**
   * The job keeps its state, and makes a checkpoint so often. Exact: output is final with one, and no
   * earlier.
   */
  readonly checkpoints?: { readonly intervalMs: number; readonly isExact: boolean };
  /** Most bytes of state in memory; shards beyond it are put away, and lost with a crash. Default: no limit. */
  readonly stateBytesMax?: number;
  /** Replaces the steps `act`, then `tell`, to plant a fault and see whether it is found. */
  readonly plant?: (wish: Wish, job: ThreadlessJob) => readonly SimulatedStep[];
}

export interface SimulatedStep {
  readonly kind: string;
  /**
   * It does not wait for what was asked for before it, and mostly comes late. A planted fault may do so; no
   * job does.
   */
  readonly isLate?: boolean;
  run(): void;
}

/** What outlives a crash: the content of sources, sinks and the store, and time. */
export class SimulatedWorld {
  readonly outside: Outside;
  /** Rounds up to this one have come in. */
  round = 0;
  clockMs: number;

  constructor(outside: Outside, clockMs = 0) {
    this.outside = outside;
    this.clockMs = clockMs;
  }

  static of({ plan, partitions, keepsDecisions, checkpoints }: SimulatedInput): SimulatedWorld {
    const state = checkpoints === undefined ? undefined : new KeptState();
    return new SimulatedWorld(new Outside(plan.sources.length, partitions, plan.sinks.length, keepsDecisions || state !== undefined, state));
  }

  /** @param lost see Outside.clone */
  clone(lost?: (unsynced: number) => number): SimulatedWorld {
    const copy = new SimulatedWorld(this.outside.clone(lost), this.clockMs);
    copy.round = this.round;
    return copy;
  }
}

/** One frame of a partition, with its place there and when it comes. */
interface LoggedFrame extends SimulatedFrame {
  readonly first: number;
  readonly round: number;
}

export class SimulatedJob {
  readonly #input: SimulatedInput;
  readonly #world: SimulatedWorld;
  readonly #job: ThreadlessJob;
  readonly #rng: SeekableRng;
  /** By partition of all sources: the frames that are not read yet. */
  readonly #unread: LoggedFrame[][];
  /** What was asked for, in steps: decisions are kept in one order, outputs and positions in another. */
  readonly #recording: SimulatedStep[] = [];
  readonly #writing: SimulatedStep[] = [];
  readonly #late: SimulatedStep[] = [];
  #isReadFirst: boolean;
  #readSinceCut = 0;
  #isRoundCut = false;
  #hasEnded = false;
  #isLastCut = false;

  /** Starts from what is committed in the world. The same world and seed give the same steps. */
  constructor(input: SimulatedInput, world: SimulatedWorld, seed: number) {
    const { plan, partitions, shards } = input;
    this.#input = input;
    this.#world = world;
    this.#rng = seededRng(seed);
    this.#isReadFirst = (input.readFirst ?? []).length === 0;
    this.#job = new ThreadlessJob({
      plan,
      shards,
      partitions,
      memoryBytes: MEMORY_BYTES,
      clock: () => world.clockMs,
      choose: (engines) => this.#rng.int(engines),
      outside: world.outside,
      wish: (wish) => this.#take(wish),
      checkpoints: input.checkpoints,
      stateBytesMax: input.stateBytesMax,
    });
    this.#unread = logOf(input).map((frames, global) => {
      const start = this.#job.coordinator.intake.partitions[global]?.start ?? 0;
      return frames.filter(({ first }) => first >= start);
    });
  }

  /** Takes one step. Undefined: everything is done. */
  step(): string | undefined {
    const steps = this.#possible();
    if (steps.length === 0) return undefined;
    const { kind, run } = steps[this.#rng.int(steps.length)] as SimulatedStep;
    run();
    this.#job.coordinator.receive();
    return kind;
  }

  /** Takes all steps that are left. */
  finish(): void {
    while (this.step() !== undefined);
  }

  #take(wish: Wish): void {
    const { kind, act, tell } = wish;
    const steps = this.#input.plant?.(wish, this.#job) ?? [
      { kind, run: act },
      { kind: TOLD[kind], run: tell },
    ];
    for (const step of steps) (step.isLate ? this.#late : kind === 'record' ? this.#recording : this.#writing).push(step);
  }

  #possible(): SimulatedStep[] {
    const { crew } = this.#job;
    const steps = crew.ready.map((worker): SimulatedStep => ({ kind: crew.next(worker), run: () => crew.step(worker) }));
    for (const lane of [this.#recording, this.#writing]) {
      const [first] = lane;
      if (first === undefined) continue;
      const run = (): void => {
        lane.shift();
        first.run();
      };
      steps.push({ kind: first.kind, run });
    }
    steps.push(...this.#reading());
    const [late] = this.#late;
    if (late === undefined || (steps.length > 0 && this.#rng.chance(0.95))) return steps;
    return [{ kind: late.kind, run: () => this.#late.shift()?.run() }];
  }

  /** What the sources, and the trigger, may do now. */
  #reading(): SimulatedStep[] {
    const { coordinator } = this.#job;
    const mayCut = coordinator.mayEndEpoch && !coordinator.mustReadOn;
    const cut = (and: () => void = () => {}): SimulatedStep[] => {
      if (!mayCut) return [];
      const run = (): void => {
        this.#job.endEpoch();
        this.#readSinceCut = 0;
        and();
      };
      return [{ kind: 'cut', run }];
    };
    const there = this.#unread.flatMap(([frame]) => (frame !== undefined && frame.round <= this.#world.round ? [frame] : []));
    // Epochs that are repeated are cut as they were, and nobody waits.
    if (!this.#isReadFirst && !coordinator.isReplaying) {
      const early = there.filter(({ source }) => this.#input.readFirst?.includes(source));
      if (early.length > 0) return early.map((frame) => this.#read(frame));
      return cut(() => {
        this.#isReadFirst = true;
      });
    }
    if (there.length > 0) return [...there.map((frame) => this.#read(frame)), ...(this.#readSinceCut > 0 && this.#rng.chance(0.5) ? cut() : [])];
    if (this.#world.round < this.#input.rounds.length - 1) {
      if (this.#isRoundCut || coordinator.mustReadOn) return [{ kind: 'time', run: () => this.#pass() }];
      return cut(() => {
        this.#isRoundCut = true;
      });
    }
    if (!this.#hasEnded) return [{ kind: 'end', run: () => this.#end() }];
    if (coordinator.isReplaying) return cut();
    if (this.#isLastCut) return [];
    return cut(() => {
      this.#isLastCut = true;
    });
  }

  #read({ source, partition, rows, first }: LoggedFrame): SimulatedStep {
    const run = (): void => {
      this.#unread[source * this.#input.partitions + partition]?.shift();
      this.#job.send(source, partition, rows, first);
      this.#readSinceCut++;
      this.#world.clockMs += this.#rng.int(READ_MS_MAX);
    };
    return { kind: 'read', run };
  }

  #pass(): void {
    this.#world.clockMs += this.#input.rounds[this.#world.round]?.passMs ?? 0;
    this.#world.round++;
    this.#isRoundCut = false;
  }

  #end(): void {
    this.#hasEnded = true;
    const { plan, partitions } = this.#input;
    plan.sources.forEach((_, source) => {
      for (let partition = 0; partition < partitions; partition++) this.#job.end(source, partition);
    });
  }
}

/** By partition of all sources: everything that it gets. */
function logOf({ plan, partitions, rounds }: SimulatedInput): LoggedFrame[][] {
  const logs = Array.from({ length: plan.sources.length * partitions }, (): LoggedFrame[] => []);
  rounds.forEach(({ frames }, round) => {
    for (const frame of frames) {
      const log = logs[frame.source * partitions + frame.partition] as LoggedFrame[];
      const last = log.at(-1);
      log.push({ ...frame, round, first: last === undefined ? 0 : last.first + last.rows.length });
    }
  });
  return logs;
}
