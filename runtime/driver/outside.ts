/**
 * What lies outside a job and outlives it, in memory: how far its sources are committed, what its sinks have
 * received, and the decisions that are kept for a restart.
 */

import type { AnyRow } from '../../core/index.ts';
import type { CommittedPosition } from '../../io/index.ts';
import type { DecisionStore, JournalHead, JournalRecord } from '../epoch/index.ts';

export class Outside {
  /** By source, by partition. */
  readonly committed: CommittedPosition[][];
  /** By sink, in the order of writing. */
  readonly outputs: AnyRow[][];
  readonly decisions: KeptDecisions | undefined;

  /** @param keepsDecisions whether there is a store for decisions, like a job's checkpoint directory */
  constructor(sources: number, partitions: number, sinks: number, keepsDecisions = false) {
    this.committed = Array.from({ length: sources }, () => Array.from({ length: partitions }, (_, partition) => ({ partition, offset: 0, metadata: '' })));
    this.outputs = Array.from({ length: sinks }, () => []);
    this.decisions = keepsDecisions ? new KeptDecisions() : undefined;
  }

  /** The same, as it is now. */
  clone(): Outside {
    const { committed, outputs, decisions } = this;
    const copy = new Outside(committed.length, 0, outputs.length, decisions !== undefined);
    committed.forEach((positions, source) => copy.commit(source, positions));
    outputs.forEach((rows, sink) => copy.write(sink, rows));
    if (decisions?.head !== undefined) copy.decisions?.begin(decisions.head, decisions.records);
    return copy;
  }

  write(sink: number, rows: readonly AnyRow[]): void {
    const output = this.outputs[sink] as AnyRow[];
    for (const row of rows) output.push(row);
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

  forgets(source: number): void {
    if (this.head !== undefined) this.head = { ...this.head, forgetful: [...this.head.forgetful, source] };
  }
}
