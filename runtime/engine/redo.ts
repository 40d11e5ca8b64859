/**
 * From a state log to shards: what each is opened from, and the epochs behind its base, whose blocks it takes
 * in again. Engines do it when a job goes on; a state export does it to look at the state.
 */

import { isDeepStrictEqual } from 'node:util';
import type { SlabAllocator } from '../../core/index.ts';
import { exchangeBlockBytes, type Migration, orderExchangeBlocks } from '../../operators/index.ts';
import type { ExchangePlan, Predecessor } from '../plan/index.ts';
import type { StateReader } from '../state-log/index.ts';
import type { ExchangeRunner, ShardOrigin } from './exchange-runner.ts';

/**
 * What the shards of an exchange are opened from.
 *
 * @param number of the exchange in the log
 * @param then whose state it goes on with, where the plan has changed since
 * @param watermark of the exchange where the log ends
 */
export function originInLog(log: StateReader, number: number, plan: ExchangePlan, then: Predecessor | undefined, watermark: number): ShardOrigin {
  const migration = then === undefined ? undefined : migrationOf(plan, then);
  return {
    stateOf: (shard) => (migration === undefined ? log.stateOf(number, shard) : migration(log.stateOf(number, shard))),
    baseOf: (shard) => {
      const epoch = log.baseOf(number, shard);
      const [next] = log.epochs(epoch);
      return { epoch, watermark: next?.before[number] ?? watermark };
    },
  };
}

/**
 * Brings shards from their bases to where the log ends.
 *
 * @param numberOf the number that an exchange has in the log; undefined: it has none
 */
export function redo(log: StateReader, exchanges: readonly ExchangeRunner[], slabs: SlabAllocator, numberOf: (exchange: number) => number | undefined): void {
  const { memory } = slabs;
  const bases = exchanges.flatMap(({ oldestBase }) => oldestBase ?? []);
  for (const { epoch, nowMs, before, after } of log.epochs(Math.min(...bases))) {
    for (const [index, exchange] of exchanges.entries()) {
      const number = numberOf(index);
      if (number === undefined) continue;
      const { operator } = exchange.plan;
      const blocks = log.blocks(epoch, number).map(({ bodyBytes, address: was }, at) => {
        const address = slabs.alloc(bodyBytes);
        log.readBlock(epoch, number, at, memory.u8.subarray(address, address + bodyBytes));
        const isBlock = exchangeBlockBytes(memory, address) === bodyBytes && operator.relocate?.(memory, address, was) !== false;
        if (!isBlock) throw log.refusedBlock(epoch, number, at, operator.name);
        return address;
      });
      exchange.redo(epoch, nowMs, before[number] as number, after[number] as number, orderExchangeBlocks(memory, blocks));
      for (const block of blocks) slabs.free(block);
    }
  }
}

/** What is to be done with state that another version of an operator has left; undefined: nothing. */
function migrationOf({ operator }: ExchangePlan, then: Predecessor): Migration | undefined {
  const isSame = then.format === operator.state.format && isDeepStrictEqual(then.facts, JSON.parse(JSON.stringify(operator.state.facts)));
  return isSame ? undefined : operator.state.migration?.(then);
}
