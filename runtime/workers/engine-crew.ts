/**
 * A crew of engines on the calling thread. Each has a queue, as a worker has its ring, and works through it
 * in order. Which one goes next is up to the caller: `step` takes one of them one step further, `work` takes
 * all of them as far as they go. Steps of an epoch's end act as the barrier of workers: no engine takes the
 * next one before all have taken this one.
 */

import { Counters, MillraceError, SlabAllocator } from '../../core/index.ts';
import { Engine, type EngineContext, type SpillPlace } from '../engine/index.ts';
import { type ChunkMessage, COUNTER_NAMES, type Control, type CounterName, type EpochEndMessage, type LedgerSample } from '../shared/index.ts';
import type { StateLog } from '../state-log/index.ts';
import type { Crew, CrewEvents } from './crew.ts';

/** What an engine needs that the crew does not know by itself. */
export type EngineTask = Omit<EngineContext, 'memory' | 'slabs' | 'control' | 'worker' | 'counters' | 'output' | 'sample' | 'stateLog' | 'spill'> & {
  /** Where an engine writes its state; undefined: nowhere. */
  readonly stateLog?: ((engine: number) => StateLog) | undefined;
  /** Where an engine puts state away; undefined: nowhere. */
  readonly spill?: ((engine: number) => SpillPlace) | undefined;
};

interface Member {
  readonly engine: Engine;
  readonly queue: (ChunkMessage | EpochEndMessage)[];
  /** The end of an epoch that it is working on, and how many steps it has taken. */
  ending: { readonly epoch: number; readonly steps: Generator<Promise<void> | undefined, void, void> } | undefined;
  steps: number;
}

export class EngineCrew implements Crew {
  readonly count: number;
  /** One for all, as they run one after the other. */
  readonly counters: Counters<CounterName>[][] = [];
  readonly samples: LedgerSample[] = [];
  readonly #slabs: SlabAllocator;
  readonly #choose: () => number;
  #control!: Control;
  #members: readonly Member[] = [];
  #told: ((events: CrewEvents) => void)[] = [];

  /** @param choose which engine gets the next chunk */
  constructor(slabs: SlabAllocator, count: number, choose: () => number) {
    this.count = count;
    this.#slabs = slabs;
    this.#choose = choose;
  }

  lay(control: Control): void {
    this.#control = control;
    const { memory } = this.#slabs;
    const counters = Array.from({ length: control.shape.partitions }, () =>
      Counters.create(memory, this.#slabs.alloc(Counters.bytesFor(COUNTER_NAMES)), COUNTER_NAMES),
    );
    this.counters.push(counters);
  }

  /** Makes the engines. */
  start(task: EngineTask): void {
    const { memory } = this.#slabs;
    const counters = this.counters[0] as Counters<CounterName>[];
    this.#members = Array.from({ length: this.count }, (_, worker) => ({
      engine: new Engine({
        ...task,
        stateLog: task.stateLog?.(worker),
        spill: task.spill?.(worker),
        memory,
        // One per engine, as with workers: work space is per allocator.
        slabs: new SlabAllocator(memory),
        control: this.#control,
        worker,
        counters,
        output: (epoch, block) => this.#told.push((events) => events.output(epoch, block)),
        sample: (sample) => this.samples.push(sample),
      }),
      queue: [],
      ending: undefined,
      steps: 0,
    }));
  }

  get engines(): readonly Engine[] {
    return this.#members.map(({ engine }) => engine);
  }

  giveChunk(message: ChunkMessage): void {
    (this.#members[this.#choose()] as Member).queue.push(message);
  }

  endEpoch(message: EpochEndMessage): void {
    for (const { queue } of this.#members) queue.push(message);
  }

  receive(events: CrewEvents): void {
    const told = this.#told;
    this.#told = [];
    for (const tell of told) tell(events);
  }

  stop(): void {
    for (const { queue } of this.#members) queue.length = 0;
  }

  /** Engines that have something to do and need not wait for another. */
  get ready(): number[] {
    return this.#members.flatMap((member, worker) => (this.#isReady(member) ? [worker] : []));
  }

  /** What `step` does next with one that is ready. */
  next(worker: number): 'scan' | 'merge' {
    const { ending, queue } = this.#members[worker] as Member;
    return ending === undefined && 'chunk' in (queue[0] as object) ? 'scan' : 'merge';
  }

  /** Lets a ready engine scan a chunk, or take a step of an epoch's end. */
  step(worker: number): void {
    const member = this.#members[worker] as Member;
    const { engine } = member;
    if (member.ending === undefined) {
      const message = member.queue.shift() as ChunkMessage | EpochEndMessage;
      engine.stampAt(message.startMs);
      if ('chunk' in message) {
        mustNotWait(engine.scan(message.source, message.chunk, message.sequence));
        this.#told.push((events) => events.chunkDone(message.chunk.address));
        return;
      }
      member.ending = { epoch: message.epoch, steps: engine.endEpoch(message.epoch, message.nowMs) };
    }
    const { epoch, steps } = member.ending;
    member.steps++;
    const step = steps.next();
    if (step.done !== true) {
      mustNotWait(step.value);
      return;
    }
    member.ending = undefined;
    this.#told.push((events) => events.epochDone(epoch));
  }

  /** Takes all of them as far as they go. */
  work(): void {
    for (let ready = this.ready; ready.length > 0; ready = this.ready) for (const worker of ready) this.step(worker);
  }

  /** At a barrier it waits for engines that have taken fewer steps. All take the same number per epoch. */
  #isReady(member: Member): boolean {
    if (member.ending === undefined) return member.queue.length > 0;
    return this.#members.every(({ steps }) => steps >= member.steps);
  }
}

/** Engines here are stepped one after the other by callers that do not wait. */
function mustNotWait(answers: Promise<void> | undefined): void {
  if (answers === undefined) return;
  answers.catch(() => {});
  throw new MillraceError(
    'ERR_MILLRACE_PIPELINE',
    'The function of enrich() gives a promise, or a codec waits for its registry, and this driver does not wait. Give the pipeline a function that answers at once for tests, by a parameter, enrich(schema, params.lookUp), and a codec without a registry.',
  );
}
