/**
 * The contract of a source whose rows several processes can share. The work of such a job is in tasks, each of which
 * is a job of its own: it reads some of the partitions, and has some of the state. What goes from task to task goes
 * through a topic of the same system, in the transactions in which a task commits its positions.
 */

import { binary, i32, nullable, type Schema, schema } from '../core/index.ts';
import type { Sink } from './sink.ts';

/** One of the tasks of a job. */
export interface Task {
  /** 0 to count - 1. */
  readonly index: number;
  readonly count: number;
}

/** `Source`: that of source.ts. */
export interface SharedSource<Source> {
  /** Where positions and rows are committed together: see TransactionDomain. */
  readonly domain: string;
  /**
   * The same source, of which only one task's partitions are read: those whose number, modulo `count`, is `index`.
   * Positions are committed under a name of the task's own.
   */
  part(task: Task): Source;
  /**
   * A topic between the tasks, with a partition for each: the sink writes a row to the partition that it names, and the
   * source reads the partition of its task. Rows have the columns of EXCHANGE_ROWS.
   *
   * @param pipeline its name, which is part of the topic's; the topic is created where it does not exist
   */
  exchange(pipeline: string, task: Task): { readonly source: Source; readonly sink: Sink };
  /** Joins the processes that share the job. */
  join(context: SharingContext): Promise<Sharing>;
}

/** What the processes need to agree on who has which task. */
export interface SharingContext {
  /** Of the job, without its tasks. */
  readonly pipeline: string;
  readonly tasks: number;
  /** After how long without a sign of life a process is taken to be gone. */
  readonly sessionMs: number;
  readonly signal: AbortSignal;
  waiting?(what: string | undefined): void;
  /** The tasks that this process has from now on. Another one may still be at work on those that are new. */
  assigned(tasks: readonly number[]): void;
  failed(error: unknown): void;
}

/** This process among those that share a job. */
export interface Sharing {
  /** Lets the others have its tasks. */
  leave(): Promise<void>;
}

/** What goes through a topic between tasks. */
export const EXCHANGE_ROWS: Schema = schema({ value: nullable(binary), partition: i32 });
