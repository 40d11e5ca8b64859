/**
 * Rows, timers and results on which functions of operators by key fail: they go to the flows that take the
 * errors of the operator's stream, or else are counted, where the job leaves them out.
 */

import type { SlabAllocator } from '../../core/index.ts';
import { ErrorRows, identityOf, type Plan, type RowCoordinates, stateOperators, valuesText } from '../plan/index.ts';
import type { FailedRow, RunnerFailures } from './exchange-runner.ts';
import type { FailedRows } from './failed-rows.ts';
import type { Flow } from './flow.ts';
import type { Place } from './place.ts';

export class Failures {
  readonly #plan: Plan;
  readonly #place: Place;
  readonly #failed: FailedRows;
  readonly #takers: readonly (readonly Flow[])[];
  /** By exchange: its name. */
  readonly #names: readonly string[];
  readonly #rows: ErrorRows;

  /** @param takers by exchange: the flows that take its failures */
  constructor(plan: Plan, slabs: SlabAllocator, place: Place, failed: FailedRows, takers: readonly (readonly Flow[])[]) {
    this.#plan = plan;
    this.#place = place;
    this.#failed = failed;
    this.#takers = takers;
    this.#names = stateOperators(identityOf(plan)).map(({ name }) => name);
    this.#rows = new ErrorRows(slabs);
  }

  /** What an exchange does with them. */
  of(exchange: number): RunnerFailures {
    const takers = this.#takers[exchange] as readonly Flow[];
    const operator = this.#names[exchange] as string;
    return {
      areSkipped: takers.length > 0 || this.#failed.areSkipped,
      note: (failure) => {
        const at = this.#coordinatesOf(failure);
        if (takers.length === 0) {
          this.#failed.note(failure.message, at);
          return;
        }
        this.#place.count('failed', 1);
        const batch = this.#rows.batchOf({ ...at, operator, message: failure.message, row: valuesText(failure.values), bytes: null });
        for (const flow of takers) flow.run(batch);
      },
    };
  }

  /** Where a row was read, as far as its block knows; of what was made, the shards that make it. */
  #coordinatesOf({ origin }: FailedRow): RowCoordinates {
    if (origin === undefined) return this.#place.coordinates(undefined, 0);
    return { source: this.#plan.sources[origin.source]?.source.name ?? '', partition: origin.partition, offset: origin.offset };
  }
}
