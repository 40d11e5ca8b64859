/**
 * A cluster as one source, or one sink, sees it: its nodes by number, who leads which partition, who coordinates a group.
 * Nothing is tried again here; whoever asks has the patience (patience.ts), and asks anew with what is known by then.
 */

import { answered, ask, type Connection, isConnectionError, mustSucceed } from '../kafkajs/connection.ts';
import type { KafkajsBroker } from '../kafkajs/private-client.ts';
import { CODE, codeOf } from './errors.ts';
import { coordinatorRequest, METADATA, type MetadataAnswer, metadataRequest, type NodeAddress, type TopicAnswer } from './requests.ts';
import type { Request } from './wire.ts';

interface Node {
  readonly address: Omit<NodeAddress, 'nodeId'>;
  readonly broker: KafkajsBroker;
}

export class Cluster {
  readonly connection: Connection;
  readonly #addresses = new Map<number, Omit<NodeAddress, 'nodeId'>>();
  readonly #nodes = new Map<number, Node>();
  /** One of the bootstrap addresses: for questions that any node can answer. */
  #seed: KafkajsBroker | undefined;
  #nextSeed = 0;
  #coordinator: number | undefined;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  /** The topics named, or all; the answer says for each whether it is there. Remembers where the nodes are. */
  async metadata(topics: readonly string[] | null): Promise<MetadataAnswer> {
    const answer = await this.#askAny((broker) => metadataRequest(topics, offered(broker, METADATA)));
    for (const { nodeId, ...address } of answer.nodes) this.#addresses.set(nodeId, address);
    return answer;
  }

  /** @throws BrokerAnswer when it is not there, or has no leader anywhere */
  async topic(name: string): Promise<TopicAnswer> {
    const topic = (await this.metadata([name])).topics.find((entry) => entry.topic === name);
    if (topic === undefined) throw answered(CODE.unknownTopic);
    mustSucceed(topic.code);
    return topic;
  }

  /** Asks the node with this number. */
  async ask<T>(
    nodeId: number,
    request: Request<T> | ((broker: KafkajsBroker) => Request<T>),
    frame?: (broker: KafkajsBroker) => (correlationId: number, clientId: string) => Buffer,
  ): Promise<T> {
    const broker = await this.#node(nodeId);
    try {
      if (broker.versions === null) await broker.connect();
      return await ask(broker, typeof request === 'function' ? request(broker) : request, frame?.(broker));
    } catch (error) {
      if (isConnectionError(error)) this.#drop(broker);
      throw error;
    }
  }

  /** Asks the coordinator of a group; one that is no longer it is looked up anew the next time. */
  async askCoordinator<T extends { readonly code: number }>(group: string, request: Request<T>): Promise<T> {
    try {
      this.#coordinator ??= await this.#findCoordinator(group);
      const answer = await this.ask(this.#coordinator, request);
      if (isNoCoordinator(answer.code)) throw answered(answer.code);
      return answer;
    } catch (error) {
      if (isConnectionError(error) || isNoCoordinator(codeOf(error))) this.#coordinator = undefined;
      throw error;
    }
  }

  /** For answers that have their codes elsewhere: the coordinator is not where it was. */
  forgetCoordinator(): void {
    this.#coordinator = undefined;
  }

  close(): void {
    this.connection.close();
  }

  async #findCoordinator(group: string): Promise<number> {
    const answer = await this.#askAny(() => coordinatorRequest(group));
    mustSucceed(answer.code);
    this.#addresses.set(answer.nodeId, { host: answer.host, port: answer.port, rack: null });
    return answer.nodeId;
  }

  /** Asks a node that is connected, else the next bootstrap address. */
  async #askAny<T>(request: (broker: KafkajsBroker) => Request<T>): Promise<T> {
    const broker = [...this.#nodes.values()].find((node) => node.broker.isConnected())?.broker ?? (await this.#seedBroker());
    try {
      if (broker.versions === null) await broker.connect();
      return await ask(broker, request(broker));
    } catch (error) {
      if (isConnectionError(error)) this.#drop(broker);
      throw error;
    }
  }

  async #seedBroker(): Promise<KafkajsBroker> {
    if (this.#seed !== undefined) return this.#seed;
    const { brokers } = this.connection.options;
    const address = brokers[this.#nextSeed++ % brokers.length] as string;
    const colon = address.lastIndexOf(':');
    const host = address.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
    this.#seed = await this.connection.broker(host, Number(address.slice(colon + 1)));
    return this.#seed;
  }

  async #node(nodeId: number): Promise<KafkajsBroker> {
    let address = this.#addresses.get(nodeId);
    if (address === undefined) {
      await this.metadata([]);
      address = this.#addresses.get(nodeId);
      if (address === undefined) throw answered(CODE.brokerNotAvailable);
    }
    const known = this.#nodes.get(nodeId);
    if (known !== undefined && known.address.host === address.host && known.address.port === address.port) return known.broker;
    const broker = await this.connection.broker(address.host, address.port, address.rack);
    const raced = this.#nodes.get(nodeId);
    if (raced !== undefined && raced !== known) return raced.broker;
    this.#nodes.set(nodeId, { address, broker });
    if (known !== undefined) end(known.broker);
    return broker;
  }

  #drop(broker: KafkajsBroker): void {
    if (this.#seed === broker) this.#seed = undefined;
    for (const [nodeId, node] of this.#nodes) if (node.broker === broker) this.#nodes.delete(nodeId);
    end(broker);
  }
}

/** The newest version of a request that the broker takes. */
export function offered(broker: KafkajsBroker, apiKey: number): number {
  return broker.versions?.[apiKey]?.maxVersion ?? 0;
}

function isNoCoordinator(code: number | undefined): boolean {
  return code === CODE.notCoordinator || code === CODE.coordinatorNotAvailable;
}

/** Politely, behind our back: what it still answers is of no use. */
function end(broker: KafkajsBroker): void {
  broker.disconnect().catch(() => {});
}
