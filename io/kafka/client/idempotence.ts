/**
 * Numbers for a producer without transactions: a batch that is sent again, because its answer got lost, is
 * stored once. The broker forgets numbers (retention, a crash of all replicas): then the producer takes a new
 * identity, and what was under way may be there twice.
 */

import { answered, mustSucceed } from '../kafkajs/index.ts';
import { CODE, codeOf, type ProducerIdentity, producerIdRequest } from '../protocol/index.ts';
import type { Cluster } from './cluster.ts';
import type { Patience } from './patience.ts';
import type { BatchNumbering } from './producer.ts';

const NUMBER_CODES: ReadonlySet<number | undefined> = new Set([
  CODE.outOfOrderSequence,
  CODE.duplicateSequence,
  CODE.invalidProducerEpoch,
  CODE.invalidProducerMapping,
  CODE.unknownProducer,
]);

export class Idempotence implements BatchNumbering {
  readonly transactionalId = null;
  readonly #cluster: Cluster;
  readonly #patience: Patience;
  readonly #name: string;
  #identity: ProducerIdentity | undefined;
  #renewal: Promise<void> | undefined;

  private constructor(cluster: Cluster, patience: Patience, name: string) {
    this.#cluster = cluster;
    this.#patience = patience;
    this.#name = name;
  }

  /** @throws MillraceError ERR_MILLRACE_BROKER */
  static async begin(cluster: Cluster, patience: Patience, name: string): Promise<Idempotence> {
    const idempotence = new Idempotence(cluster, patience, name);
    await idempotence.#renew();
    return idempotence;
  }

  get identity(): ProducerIdentity | undefined {
    return this.#identity;
  }

  admitted(_topic: string, partitions: readonly number[]): readonly number[] {
    return partitions;
  }

  async judge(cause: unknown): Promise<'again' | undefined> {
    if (!NUMBER_CODES.has(codeOf(cause))) return undefined;
    this.#renewal ??= this.#renew().finally(() => {
      this.#renewal = undefined;
    });
    await this.#renewal;
    return 'again';
  }

  async #renew(): Promise<void> {
    await this.#patience.through('no producer id can be had', async () => {
      const { code, ...identity } = await this.#cluster.askAny(() => producerIdRequest(null, 0));
      if (code === CODE.clusterForbidden) this.#goWithout();
      else {
        mustSucceed(code);
        this.#identity = identity;
      }
    });
  }

  #goWithout(): void {
    this.#identity = undefined;
    process.emitWarning(
      `${this.#name}: the user has no right to write idempotently (${answered(CODE.clusterForbidden).type}), so a record batch whose answer gets lost may be written twice. Grant IDEMPOTENT_WRITE on the cluster, or set acks: 1 to do without it.`,
      'MillraceWarning',
    );
  }
}
