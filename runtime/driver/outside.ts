/**
 * What lies outside a job and outlives it, in memory: how far its sources are committed, what its sinks have
 * received, and the decisions that are kept for a restart.
 */

import type { AnyRow } from '../../core/index.ts';
import type { CommittedPosition } from '../../io/index.ts';
import type { DecisionStore, JournalHead, JournalRecord } from '../epoch/index.ts';
import type { CheckpointCut } from '../job/index.ts';
import type { SegmentRange } from '../state-log/index.ts';
import type { KeptState } from './kept-state.ts';

export class Outside {
  /** By source, by partition. */
  readonly committed: CommittedPosition[][];
  /** By sink, in the order of writing. */
  readonly outputs: AnyRow[][];
  readonly decisions: KeptDecisions | undefined;
  /** The store for state, like a job's checkpoint directory. */
  readonly state: KeptState | undefined;
  /** Rows that are not final yet, and the epoch that they are of: exactly-once. */
  #pending: { readonly sink: number; readonly epoch: number; readonly rows: readonly AnyRow[] }[] = [];

  /**
   * @param keepsDecisions whether there is a store for decisions
   * @param state the store for state, if there is one
   */
  constructor(sources: number, partitions: number, sinks: number, keepsDecisions = false, state?: KeptState | undefined) {
    this.state = state;
    this.committed = Array.from({ length: sources }, () => Array.from({ length: partitions }, (_, partition) => ({ partition, offset: 0, metadata: '' })));
    this.outputs = Array.from({ length: sinks }, () => []);
    this.decisions = keepsDecisions ? new KeptDecisions() : undefined;
  }

  /**
   * The same, as it is now.
   *
   * @param lost how many of so many unsynced pieces of the state log are lost; default: none
   */
  clone(lost: (unsynced: number) => number = () => 0): Outside {
    const { committed, outputs, decisions, state } = this;
    const copy = new Outside(committed.length, 0, outputs.length, decisions !== undefined, state?.clone(lost));
    copy.#pending = [...this.#pending];
    committed.forEach((positions, source) => copy.commit(source, positions));
    outputs.forEach((rows, sink) => copy.write(sink, rows));
    if (decisions?.head !== undefined) copy.decisions?.begin(decisions.head, decisions.records);
    return copy;
  }

  write(sink: number, rows: readonly AnyRow[]): void {
    const output = this.outputs[sink] as AnyRow[];
    for (const row of rows) output.push(row);
  }

  /** Writes rows that become final with a checkpoint. */
  stage(sink: number, epoch: number, rows: readonly AnyRow[]): void {
    this.#pending.push({ sink, epoch, rows });
  }

  /** Rows of epochs up to this one are final. */
  publish(epoch: number): void {
    for (const one of this.#pending) if (one.epoch <= epoch) this.write(one.sink, one.rows);
    this.#pending = this.#pending.filter((one) => one.epoch > epoch);
  }

  /** The same, and what is behind it goes. */
  recover(epoch: number): void {
    this.publish(epoch);
    this.#pending = [];
  }

  /** Makes a checkpoint. Decisions behind the oldest one are kept, for a start from that. */
  keep(cut: CheckpointCut, carried: readonly SegmentRange[]): void {
    this.state?.write(cut, carried);
    this.decisions?.trim(this.state?.manifests[0]?.cut.checkpoint ?? -1);
  }

  commit(source: number, positions: readonly CommittedPosition[]): void {
    for (const position of positions) (this.committed[source] as CommittedPosition[])[position.partition] = position;
  }
}

/** The journal's content, without its file. */
export class KeptDecisions implements DecisionStore {
  readonly path = '(in memory)';
  head: JournalHead | undefined;
  records: readonly JournalRecord[] = [];

  begin(head: JournalHead, records: readonly JournalRecord[]): void {
    this.head = head;
    this.records = [...records];
  }

  append(record: JournalRecord): void {
    this.records = [...this.records, record];
  }

  trim(epoch: number): void {
    const last = this.records.findLast((record) => record.epoch <= epoch);
    if (last === undefined || this.head === undefined) return;
    this.records = this.records.filter((record) => record.epoch > epoch);
    this.head = { ...this.head, base: { epoch: last.epoch, nowMs: last.nowMs, positions: last.positions } };
  }
}
