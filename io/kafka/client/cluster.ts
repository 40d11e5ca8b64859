/**
 * A cluster as one source or sink sees it: its nodes by number, the leader of each partition, the coordinator
 * of a group or a transactional id. Nothing is retried here. Retries are up to the callers (patience.ts), and each attempt uses
 * what is known by then.
 */

import { answered, ask, type Connection, isConnectionError, type KafkajsBroker, mustSucceed } from '../kafkajs/index.ts';
import {
  CODE,
  type Coordinated,
  codeOf,
  coordinatorRequest,
  METADATA,
  type MetadataAnswer,
  metadataRequest,
  type NodeAddress,
  type Request,
  type TopicAnswer,
} from '../protocol/index.ts';

interface Node {
  readonly address: Omit<NodeAddress, 'nodeId'>;
  readonly broker: KafkajsBroker;
}

export class Cluster {
  readonly connection: Connection;
  readonly #addresses = new Map<number, Omit<NodeAddress, 'nodeId'>>();
  readonly #nodes = new Map<number, Node>();
  /** One of the bootstrap addresses, for questions that any node can answer. */
  #seed: KafkajsBroker | undefined;
  #nextSeed = 0;
  /** By kind and name: the node that coordinates it. */
  readonly #coordinators = new Map<string, number>();

  constructor(connection: Connection) {
    this.connection = connection;
  }

  /** The named topics, or all; the answer says for each whether it exists. Remembers where the nodes are. */
  async metadata(topics: readonly string[] | null): Promise<MetadataAnswer> {
    const answer = await this.askAny((broker) => metadataRequest(topics, offered(broker, METADATA)));
    for (const { nodeId, ...address } of answer.nodes) this.#addresses.set(nodeId, address);
    return answer;
  }

  /** @throws BrokerAnswer when the topic does not exist, or has no leader anywhere */
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

  /**
   * Asks the coordinator of a group, or of a transactional id. A node that no longer is the coordinator is
   * looked up again the next time.
   */
  async askCoordinator<T extends { readonly code: number }>(
    name: string,
    request: Request<T> | ((broker: KafkajsBroker) => Request<T>),
    kind: Coordinated = 'group',
  ): Promise<T> {
    const key = `${kind} ${name}`;
    try {
      const nodeId = this.#coordinators.get(key) ?? (await this.#findCoordinator(name, kind));
      this.#coordinators.set(key, nodeId);
      const answer = await this.ask(nodeId, request);
      if (isNoCoordinator(answer.code)) throw answered(answer.code);
      return answer;
    } catch (error) {
      if (isConnectionError(error) || isNoCoordinator(codeOf(error))) this.#coordinators.delete(key);
      throw error;
    }
  }

  /** Asks a connected node, otherwise the next bootstrap address. */
  async askAny<T>(request: (broker: KafkajsBroker) => Request<T>): Promise<T> {
    const broker = [...this.#nodes.values()].find((node) => node.broker.isConnected())?.broker ?? (await this.#seedBroker());
    try {
      if (broker.versions === null) await broker.connect();
      return await ask(broker, request(broker));
    } catch (error) {
      if (isConnectionError(error)) this.#drop(broker);
      throw error;
    }
  }

  close(): void {
    this.connection.close();
  }

  async #findCoordinator(name: string, kind: Coordinated): Promise<number> {
    const answer = await this.askAny(() => coordinatorRequest(name, kind));
    mustSucceed(answer.code);
    this.#addresses.set(answer.nodeId, { host: answer.host, port: answer.port, rack: null });
    return answer.nodeId;
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

/** Disconnects in the background; answers that still arrive are ignored. */
function end(broker: KafkajsBroker): void {
  broker.disconnect().catch(() => {});
}
