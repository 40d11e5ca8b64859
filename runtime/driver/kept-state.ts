/**
 * A checkpoint directory in memory: segments of the state log, and manifests. A crash may take what was not
 * synced.
 */

import type { CheckpointCut } from '../job/index.ts';
import { type OpenSegment, type SegmentRange, type StateLog, segmentName, segmentNamed, segmentRanges } from '../state-log/index.ts';

interface KeptSegment {
  readonly pieces: Uint8Array[];
  /** As many of them are on disk for certain. */
  synced: number;
}

export interface KeptManifest {
  readonly run: number;
  readonly cut: CheckpointCut;
  readonly segments: readonly SegmentRange[];
}

export class KeptState {
  readonly segments = new Map<string, KeptSegment>();
  /** Oldest first. */
  readonly manifests: KeptManifest[] = [];
  run = 0;

  /** @param lost how many of so many unsynced pieces a crash takes */
  clone(lost: (unsynced: number) => number): KeptState {
    const copy = new KeptState();
    copy.manifests.push(...this.manifests);
    copy.run = this.run;
    for (const [name, { pieces, synced }] of this.segments) {
      const left = pieces.slice(0, pieces.length - lost(pieces.length - synced));
      copy.segments.set(name, { pieces: left, synced: left.length });
    }
    return copy;
  }

  get newest(): KeptManifest | undefined {
    return this.manifests.at(-1);
  }

  /** Where one worker of the current run writes. */
  log(worker: number): StateLog {
    let open: KeptSegment = { pieces: [], synced: 0 };
    return {
      roll: (from) => {
        open = { pieces: [], synced: 0 };
        this.segments.set(segmentName({ run: this.run, worker, from }), open);
      },
      append: (pieces) => {
        for (const piece of pieces) open.pieces.push(piece.slice());
      },
    };
  }

  readonly open: OpenSegment = (name) => {
    const bytes = Buffer.concat(this.segments.get(name)?.pieces ?? []);
    return { size: bytes.length, read: (into, position) => into.set(bytes.subarray(position, position + into.length)), close: () => {} };
  };

  /** @param carried the segments that the run has resumed from */
  write(cut: CheckpointCut, carried: readonly SegmentRange[]): void {
    const segments = segmentRanges([...this.segments.keys()], this.run, carried, cut.checkpoint, cut.state.oldestBase);
    for (const segment of this.segments.values()) segment.synced = segment.pieces.length;
    this.manifests.push({ run: this.run, cut, segments });
    if (this.manifests.length > 2) this.manifests.shift();
    const named = new Set(this.manifests.flatMap((manifest) => manifest.segments.map(({ name }) => name)));
    for (const name of this.segments.keys()) if (!named.has(name) && segmentNamed(name)?.run !== this.run) this.segments.delete(name);
  }
}
