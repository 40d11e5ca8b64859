/**
 * Where the checkpoints of a job are: a folder, and with it a topic if they are to outlive the machine. It is
 * opened in the order that makes a successor exact:
 *
 *   lock the folder | fence whoever wrote to the topic, and read what it has | read the folder
 *
 * A process that stands by waits for the lock, and for the holder of the topic, with the folder kept as the
 * topic is. A holder that is not heard of for a session is deposed; when it wakes up, it can write nothing.
 */

import { lstat, mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32cBytes, MillraceError, shown } from '../../core/index.ts';
import type { CheckpointTopic, Deposed, Holdings, ProcessLock, Report, Transaction, TransactionDomain } from '../../io/index.ts';
import { CheckpointDir, type CheckpointId, type Manifest, TopicMirror } from '../checkpoint/index.ts';
import { guarded } from './endpoint-error.ts';
import type { CheckpointOptions } from './options.ts';
import { TopicLease } from './topic-lease.ts';

/** Renewals in a session. */
const RENEWALS = 5;

export interface StoreParts extends CheckpointOptions {
  readonly pipeline: string;
  /** Of the sinks, if they have any and the job is exactly-once. */
  readonly domain: TransactionDomain | undefined;
  readonly signal: AbortSignal;
  readonly warn: (message: string) => void;
  /** Takes what one says that stands by. */
  readonly say: (message: string) => void;
  /** What an end of this name tells of itself. */
  readonly reportOf?: (name: string) => Report;
  readonly damaged: readonly CheckpointId[];
  readonly holdings: Holdings;
  readonly sessionMs: number;
  /** Waits for whoever has the job, and takes over. Called when there is nobody to wait for any more. */
  readonly standBy?: (() => void) | undefined;
  /** Another process has taken over. */
  readonly lost: (error: MillraceError) => void;
}

interface OpenTransaction {
  readonly transaction: Transaction;
  readonly domain: string;
}

export class CheckpointStore {
  readonly dir: CheckpointDir;
  /** Of the sinks. */
  readonly transaction: Transaction | undefined;
  /** The last checkpoint that the sinks' transactions know of; none of them decides where it is 'manifest'. */
  readonly decided: number | undefined | 'manifest';
  readonly deposed: Deposed | undefined;
  readonly damaged: readonly CheckpointId[];
  readonly #lock: ProcessLock;
  readonly #pipeline: string;
  readonly #sessionMs: number;
  /** One after the other; the last one commits the positions of its domain. */
  readonly #transactions: readonly OpenTransaction[];
  readonly #mirror: TopicMirror | undefined;
  readonly #topic: CheckpointTopic | undefined;
  readonly #lease: TopicLease | undefined;

  private constructor(dir: CheckpointDir, locked: Locked, { pipeline, sessionMs, damaged, kafka }: StoreParts) {
    this.dir = dir;
    this.#lock = locked.lock;
    this.#pipeline = pipeline;
    this.#sessionMs = sessionMs;
    this.transaction = locked.ofSinks;
    this.decided = locked.decided;
    this.deposed = locked.deposed;
    this.#transactions = locked.transactions;
    this.#mirror = locked.mirror;
    this.#topic = locked.topic;
    this.#lease = locked.lease;
    // What is damaged in the folder was read from the topic once more, if it is the first time.
    this.damaged = kafka === undefined ? damaged : damaged.filter((one, index) => damaged.some((other, before) => before < index && isSame(one, other)));
  }

  static async open(parts: StoreParts): Promise<CheckpointStore> {
    const { pipeline, signal, warn, say, sessionMs, standBy, lost } = parts;
    const locked: Locked = { transactions: [], decided: 'manifest', committed: -1 } as unknown as Locked;
    let hasWaited = false;
    const session = standBy === undefined ? {} : { wait: signal, sessionMs };
    let store: CheckpointStore | undefined;
    let opened: CheckpointDir | undefined;
    try {
      const dir = await CheckpointDir.open(await folderOf(parts), pipeline, warn, {
        ...session,
        waiting: (holder) => {
          hasWaited = true;
          say(`The pipeline ${shown(pipeline)} is at work elsewhere: ${holder}. This process stands by, and takes over when that one ends.`);
        },
        deposed: (holder) => {
          locked.deposed = holder;
        },
        async locked(disk, lock) {
          locked.lock = lock;
          await lock.renewEvery(sessionMs / RENEWALS, () => void store?.fenced().then(lost));
          if (parts.kafka !== undefined) await openTopic(parts.kafka, parts, disk, locked);
          if (parts.domain !== undefined && locked.ofSinks === undefined) {
            locked.ofSinks = await transactionOf(parts.domain, pipeline, parts, locked);
            locked.transactions.push({ transaction: locked.ofSinks, domain: parts.domain.domain });
            locked.decided = await locked.ofSinks.recover();
          }
          standBy?.();
          if (hasWaited || locked.lease?.hasWaited === true)
            say(
              `This process takes over the pipeline ${shown(pipeline)}${locked.deposed === undefined ? '' : `: nothing was heard of the other one for ${sessionMs / 1_000} s`}.`,
            );
        },
      });
      opened = dir;
      mustHave(locked, dir.candidates()[0]?.written ?? -1, pipeline);
      const open = new CheckpointStore(dir, locked, parts);
      store = open;
      await locked.lease?.begin((by) => void open.fenced(by).then(lost));
      return open;
    } catch (error) {
      await opened?.close();
      for (const { transaction } of locked.transactions) await transaction.close().catch(() => {});
      await locked.lease?.close();
      await locked.topic?.close();
      throw error;
    }
  }

  /** What it costs to keep checkpoints in the topic. */
  get topicCosts(): TopicMirror['costs'] | undefined {
    return this.#mirror?.costs;
  }

  /** Whether positions of sources of this domain are committed in a transaction of the store. */
  commitsPositionsOf(domain: string | undefined): boolean {
    return domain !== undefined && this.#transactions.at(-1)?.domain === domain;
  }

  /**
   * To be called right before anything is written outside.
   *
   * @throws MillraceError ERR_MILLRACE_FENCED when another process has the job
   */
  async mustBeOurs(): Promise<void> {
    if (!(await this.#lock.mayWrite())) throw await this.fenced();
  }

  /** Makes a checkpoint durable: in the folder, and, not yet committed, in the topic. */
  async write(manifest: Manifest): Promise<void> {
    await this.mustBeOurs();
    await this.dir.write(manifest);
    const mirror = this.#mirror;
    const [first] = this.#transactions;
    if (mirror === undefined || first === undefined) return;
    await mirror.add(first.transaction, manifest, this.dir.journal.hasBegun ? this.dir.journal.image() : undefined);
  }

  /** Decides it, where a transaction does. */
  async commit(written: number, positions: (domain: string) => readonly unknown[]): Promise<void> {
    for (const [index, { transaction, domain }] of this.#transactions.entries()) {
      await transaction.commit(written, index === this.#transactions.length - 1 ? positions(domain) : []);
      // That of the topic comes first.
      if (index === 0) await this.#mirror?.committed();
    }
  }

  /** Why the job has failed, if the reason is that another process has it; undefined: it is not. */
  async takenOver(cause: unknown): Promise<MillraceError | undefined> {
    if (cause instanceof MillraceError && cause.code === 'ERR_MILLRACE_FENCED' && cause.message.includes('taken over by process')) return undefined;
    const by = (await this.#lock.otherHolder().catch(() => undefined)) ?? (await this.#lease?.takenBy());
    return by === undefined ? undefined : this.fenced(by, cause);
  }

  /** @param by who has it, if that is known */
  async fenced(by?: string, cause?: unknown): Promise<MillraceError> {
    const holder = by ?? (await this.#lock.otherHolder().catch(() => undefined)) ?? `whoever removed ${this.#lock.path}`;
    return new MillraceError(
      'ERR_MILLRACE_FENCED',
      `The pipeline ${shown(this.#pipeline)} was taken over by ${holder}, because nothing was heard of this process for ${this.#sessionMs / 1_000} s (the option sessionTimeout). This one ends, and writes nothing more. If it was only slow, give a longer sessionTimeout.`,
      cause === undefined ? {} : { cause },
    );
  }

  async close(): Promise<void> {
    // Where a transaction failed, the folder may be ahead: the next start reads the rest.
    for (const { transaction } of this.#transactions) await transaction.close().catch(() => {});
    await this.#lease?.close();
    await this.#topic?.close();
    await this.dir.close();
  }

  /** The job has ended well: notes what the folder has, so that the next start reads nothing of the topic. */
  async rest(): Promise<void> {
    await this.#mirror?.keep().catch(() => {});
  }
}

interface Locked {
  lock: ProcessLock;
  deposed?: Deposed;
  ofSinks?: Transaction;
  decided: number | undefined | 'manifest';
  transactions: OpenTransaction[];
  topic?: CheckpointTopic;
  mirror?: TopicMirror;
  lease?: TopicLease;
  /** The last checkpoint that was committed with the topic; -1: none. */
  committed: number;
}

/**
 * The folder: as given, or one that belongs to this user, the pipeline and the topic.
 *
 * @throws MillraceError ERR_MILLRACE_CHECKPOINT when it is somebody else's
 */
async function folderOf({ dir, kafka, pipeline }: StoreParts): Promise<string> {
  if (dir !== undefined) return dir;
  const { topic = '', brokers = [] } = kafka ?? {};
  const id = crc32cBytes(Buffer.from(JSON.stringify([pipeline, topic, brokers]))).toString(16);
  const user = process.getuid?.() ?? 0;
  const made = join(tmpdir(), `millrace-${user}-${encodeURIComponent(pipeline).slice(0, 60)}-${String(topic).slice(0, 60)}-${id}`);
  await mkdir(made, { recursive: true, mode: 0o700 });
  const found = await lstat(made);
  if (found.isDirectory() && (process.getuid === undefined || found.uid === user)) return made;
  throw new MillraceError('ERR_MILLRACE_CHECKPOINT', `The folder ${made} for the checkpoints is another user's. Give one: checkpoint: { kafka, dir }.`);
}

/** Opens the topic, becomes the one who writes to it, and makes the folder what it has. */
async function openTopic(
  kafka: NonNullable<StoreParts['kafka']>,
  parts: StoreParts,
  disk: Parameters<typeof TopicMirror.open>[0]['disk'],
  locked: Locked,
): Promise<void> {
  const { pipeline, domain, signal, warn, damaged, sessionMs } = parts;
  // Whoever has no topic needs no kafkajs.
  const { openCheckpointTopic } = await import('../../io/kafka/index.ts');
  const topic = await openCheckpointTopic(kafka, { signal, ...(parts.reportOf && { report: parts.reportOf(`kafka ${kafka.topic}`) }) });
  locked.topic = topic;
  const isDamaged = damaged.some((one) => damaged.filter((other) => isSame(one, other)).length === 1);
  const mirror = await TopicMirror.open({ topic, disk, pipeline, report: warn, isDamaged });
  locked.mirror = mirror;
  const lease = new TopicLease({
    topic,
    pipeline,
    name: locked.lock.name,
    sessionMs,
    deposed: locked.deposed,
    warn: parts.standBy === undefined ? warn : parts.say,
  });
  locked.lease = lease;
  await lease.wait(parts.standBy === undefined ? undefined : { signal, meanwhile: () => mirror.follow() });
  const isShared = domain !== undefined && domain.domain === topic.transactions.domain;
  // Whoever was at work with other sinks, or another guarantee, had the other name.
  const own = await transactionOf(topic.transactions, `${pipeline}.checkpoint`, parts, locked);
  locked.transactions.push({ transaction: own, domain: topic.transactions.domain });
  let decided = await own.recover();
  const other = await transactionOf(isShared ? domain : topic.transactions, pipeline, parts, locked);
  if (isShared) locked.transactions.splice(0, 1, { transaction: other, domain: domain.domain });
  decided = Math.max(decided ?? -1, (await other.recover()) ?? -1);
  if (isShared) locked.ofSinks = other;
  await (isShared ? own : other).close();
  await mirror.settle();
  locked.committed = decided;
}

/** What was committed with the topic must be in it. */
function mustHave({ topic, committed }: Locked, newest: number, pipeline: string): void {
  if (topic === undefined || committed <= newest) return;
  throw new MillraceError(
    'ERR_MILLRACE_CHECKPOINT',
    `${topic.name} ${newest < 0 ? 'has no checkpoint' : `has checkpoints up to ${newest}`}, and checkpoint ${committed} was committed: it was deleted or made anew, or has lost records. Restore it. To begin anew, delete the topic, and the groups millrace.${pipeline} and millrace.${pipeline}.checkpoint.`,
  );
}

function transactionOf(domain: TransactionDomain, id: string, { signal, holdings, reportOf }: StoreParts, locked: Locked): Promise<Transaction> {
  const context = { id, signal, holdings, isTaken: isTakenOf(locked), ...(reportOf && { report: reportOf(`transactions of ${domain.domain}`) }) };
  return guarded('ERR_MILLRACE_SINK', 'The transactions of the sinks cannot be opened', () => domain.open(context));
}

/** Whether the lock of the folder, or the topic, is another's by now. */
function isTakenOf(locked: Locked): () => Promise<boolean> {
  return async () => (await locked.lock.otherHolder()) !== undefined || (await locked.lease?.takenBy()) !== undefined;
}

function isSame(a: CheckpointId, b: CheckpointId): boolean {
  return a.run === b.run && a.checkpoint === b.checkpoint;
}
