/** Rounds: one process after the other is started, disturbed and killed as the plan says, and what was not to be expected is noted. */

import { existsSync } from 'node:fs';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { seededRng } from '../../core/index.ts';
import type { RunningKafka } from '../../scripts/kafka.js';
import { damageNewest } from './damage.ts';
import { type JobOptions, JobProcess } from './job-process.ts';
import type { Oracle } from './oracle.ts';
import type { JobParams } from './pipeline.ts';
import type { Fault, Kill, Round } from './plan.ts';
import type { Stage } from './stage.ts';
import type { Canary } from './wrapping.ts';

/** No process takes longer to its first checkpoint, or from one to the next, on a machine that is busy. */
const PROGRESS_MS = 90_000;
const ENDS_MS = 60_000;
const LAST_MS = 180_000;
/** After this a broker that is back leads its partitions again, and readers have found it. */
const SETTLED_MS = 10_000;
/** The error of a process whose place another one has taken: by its transactions, its group, or the lock of its directory. */
const REPLACED = /ERR_MILLRACE_FENCED|ERR_MILLRACE_CHECKPOINT: .*(no longer of this process|taken by another process)/s;
/** Lines that say how far it is. */
const PROGRESS = /^.* rows in, .* out, .*\n/gm;
/** A warning, or an error, about a checkpoint that cannot be read. */
const DAMAGE = /is damaged|ERR_MILLRACE_STATE|ERR_MILLRACE_CORRUPT|the checkpoint before that one/;

export interface Tally {
  kills: number;
  named: number;
  stops: number;
  fenced: number;
  workerDeaths: number;
  brokerKills: number;
  damaged: number;
  fellBack: number;
  readonly recoverySeconds: number[];
  /** What should not have happened. */
  readonly unexplained: string[];
}

export function newTally(): Tally {
  return { kills: 0, named: 0, stops: 0, fenced: 0, workerDeaths: 0, brokerKills: 0, damaged: 0, fellBack: 0, recoverySeconds: [], unexplained: [] };
}

export interface RoundsParts {
  readonly stage: Stage;
  readonly oracle: Oracle;
  /** Empty where they are not the checker's own. */
  readonly brokers: readonly RunningKafka[];
  /** A folder for checkpoint directories. */
  readonly dir: string;
  readonly seed: number;
  readonly say: (text: string) => void;
  readonly params?: Partial<JobParams>;
}

export class Rounds {
  readonly tally = newTally();
  readonly #parts: RoundsParts;
  /** The checkpoint directory: a successor on another machine has a copy. */
  #state: string;
  #copies = 0;
  #deaths = 0;
  #isDamaged = false;
  /** Something was committed before: the next start is a recovery. */
  #hasBegun = false;

  constructor(parts: RoundsParts) {
    this.#parts = parts;
    this.#state = join(parts.dir, 'state');
  }

  async play(round: Round, number: number): Promise<void> {
    const { tally } = this;
    const { fault } = round;
    const { say } = this.#parts;
    const killAt = fault === undefined ? round.kill : undefined;
    const death = fault?.kind === 'worker' ? `${fault.how}-${this.#deaths++}` : undefined;
    let job = this.start({
      killAt,
      stopAt: fault?.kind === 'stop' ? fault.at : undefined,
      params: fault?.kind === 'worker' ? { dies: death as string, diesAt: String(fault.row), dir: this.#parts.dir } : {},
    });
    const before = await this.#parts.stage.committed();
    const isStart = killAt !== undefined && 'point' in killAt && (killAt.point === 'recovered' || killAt.point === 'sinks-recovered');
    if (!isStart) await this.recovered(job, before);
    if (fault?.kind === 'worker') await this.#workerDies(job, death as string);
    else if (fault?.kind === 'broker') await this.#brokerDies(job, fault);
    else if (fault?.kind === 'stop') job = await this.#stopped(job, fault);
    await this.#killed(job, round.kill, fault === undefined);
    if (round.damage !== undefined) await this.#damage(round.damage, number);
    say(`round ${number + 1}: ${this.#told(round)}; ${tally.recoverySeconds.at(-1)?.toFixed(1) ?? '-'} s to the first checkpoint`);
  }

  start(more: Partial<JobOptions> & { readonly canary?: Canary | undefined } = {}): JobProcess {
    const { stage, params } = this.#parts;
    const common = { brokers: stage.brokers.join(','), name: stage.name, transactionTimeout: '10000', heartbeatInterval: '1000', ...params };
    return new JobProcess({ dir: this.#state, ...more, params: { ...common, ...more.params } });
  }

  /** Waits for the first checkpoint of a process that was just started. */
  async recovered(job: JobProcess, before: number): Promise<void> {
    const isRecovery = this.#hasBegun;
    await this.progress(job, before, 'its first checkpoint');
    if (isRecovery) this.tally.recoverySeconds.push((performance.now() - job.startedMs) / 1_000);
    this.#hasBegun = true;
    this.#fallback(job);
  }

  /** Waits until more is committed than before. */
  async progress(job: JobProcess, before: number, what = 'the next checkpoint'): Promise<void> {
    for (const deadline = Date.now() + PROGRESS_MS; (await this.#parts.stage.committed()) <= before; await sleep(20)) {
      if (!job.isRunning || job.isStopped) return;
      if (Date.now() > deadline) {
        this.unexplained(`${what} is not there after ${PROGRESS_MS / 1_000} s`, job);
        return;
      }
    }
  }

  /** Starts a process that reads what is there, and emits what is open; it must end by itself. */
  async finish(canary?: Canary): Promise<void> {
    const job = this.start({ isLast: true, canary });
    if (!(await job.endsWithin(LAST_MS))) {
      this.unexplained('the last run does not end', job);
      await job.kill();
    } else if (job.ending !== '0') this.unexplained(`the last run ended with ${job.ending}`, job);
    this.#fallback(job);
  }

  /** Stops a process, lets a successor work, and wakes it: it must end, and say why. */
  async #stopped(zombie: JobProcess, { at, has, restMs }: Fault & { readonly kind: 'stop' }): Promise<JobProcess> {
    if ('afterMs' in at) {
      await sleep(at.afterMs);
      zombie.signal('SIGSTOP');
    }
    for (const deadline = Date.now() + ENDS_MS; !zombie.isStopped && zombie.isRunning && Date.now() < deadline; ) await sleep(10);
    if (!zombie.isStopped) {
      this.unexplained('it was not stopped at the point', zombie);
      await zombie.kill();
    }
    this.tally.stops++;
    const successor = await this.takeOver(has);
    await sleep(restMs);
    await this.wake(zombie);
    return successor;
  }

  /** A successor of a process that is stopped, once it has made a checkpoint. */
  async takeOver(has: 'copy' | 'unlocked', canary?: Canary): Promise<JobProcess> {
    const before = await this.#parts.stage.committed();
    if (has === 'copy') {
      const copy = join(this.#parts.dir, `state-${++this.#copies}`);
      await cp(this.#state, copy, { recursive: true });
      this.#state = copy;
    }
    await rm(join(this.#state, 'job.held'), { recursive: true, force: true });
    const successor = this.start({ canary });
    await this.recovered(successor, before);
    return successor;
  }

  async wake(zombie: JobProcess): Promise<void> {
    zombie.signal('SIGCONT');
    if (!(await zombie.endsWithin(ENDS_MS))) {
      this.unexplained('the process that was replaced does not end', zombie);
      await zombie.kill();
    } else if (REPLACED.test(zombie.output)) this.tally.fenced++;
    else this.unexplained(`the process that was replaced ended with ${zombie.ending}, and does not say why`, zombie);
  }

  async #workerDies(job: JobProcess, death: string): Promise<void> {
    const mark = join(this.#parts.dir, `death-${death}`);
    for (const deadline = Date.now() + ENDS_MS; !existsSync(mark) && job.isRunning; await sleep(10)) {
      if (Date.now() > deadline) {
        this.unexplained(`no worker has died of ${death}`, job);
        return;
      }
    }
    const before = await this.#parts.stage.committed();
    this.tally.workerDeaths++;
    await this.progress(job, before, 'a checkpoint after the death of a worker');
  }

  async #brokerDies(job: JobProcess, { node, afterMs, downMs }: Fault & { readonly kind: 'broker' }): Promise<void> {
    const { brokers, oracle } = this.#parts;
    const broker = brokers[node % brokers.length] as RunningKafka;
    await sleep(afterMs);
    const outage = oracle.outage(Date.now());
    await broker.kill();
    this.tally.brokerKills++;
    await sleep(downMs);
    await broker.restart();
    outage.back(Date.now() + SETTLED_MS);
    await this.progress(job, await this.#parts.stage.committed(), 'a checkpoint after a broker was away');
  }

  async #killed(job: JobProcess, kill: Kill, isNamed: boolean): Promise<void> {
    if ('point' in kill && isNamed) {
      if (!(await job.endsWithin(ENDS_MS))) {
        this.unexplained(`it has not come to ${kill.point} ${kill.times} times`, job);
        await job.kill();
      }
      this.tally.named++;
    } else {
      await sleep('afterMs' in kill ? kill.afterMs : 0);
      if (job.isRunning) await job.kill();
    }
    if (job.ending === 'SIGKILL') this.tally.kills++;
    else this.unexplained(`it ended by itself, with ${job.ending}`, job);
    this.#fallback(job);
  }

  async #damage(kind: 'manifest' | 'segment', number: number): Promise<void> {
    const done = await damageNewest(this.#state, kind, seededRng(this.#parts.seed * 1_000 + number));
    if (done === undefined) return;
    this.tally.damaged++;
    this.#isDamaged = true;
  }

  /** A checkpoint that is damaged, and that nobody has damaged, is a bug; even if the one before falls in. */
  #fallback(job: JobProcess): void {
    if (!DAMAGE.test(job.news())) return;
    if (!this.#isDamaged) this.unexplained('a checkpoint is damaged that nobody has damaged', job);
    else this.tally.fellBack++;
    this.#isDamaged = false;
  }

  /** Notes what should not have happened. */
  unexplained(what: string, job: JobProcess): void {
    const text = job.output.replaceAll(PROGRESS, '').trim();
    this.tally.unexplained.push(text === '' ? what : `${what}: ${text.slice(-600)}`);
    this.#parts.say(`UNEXPLAINED ${this.tally.unexplained.at(-1)}`);
  }

  #told({ fault, kill, damage }: Round): string {
    const at = (one: Kill) => ('point' in one ? `${one.point}:${one.times}` : `${one.afterMs} ms`);
    const parts = [
      fault?.kind === 'stop' ? `SIGSTOP at ${at(fault.at)}, the successor has ${fault.has === 'copy' ? 'a copy' : 'the folder, unlocked'}` : undefined,
      fault?.kind === 'worker' ? `a worker dies by ${fault.how}` : undefined,
      fault?.kind === 'broker' ? `broker ${fault.node + 1} is away for ${fault.downMs} ms` : undefined,
      `kill -9 at ${at(kill)}`,
      damage === undefined ? undefined : `damage to the ${damage}`,
    ];
    return parts.filter((part) => part !== undefined).join(', ');
  }
}
