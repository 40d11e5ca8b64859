/** How a transaction ends that was not committed: the errors, and what to do about each. */

import { MillraceError } from '../../../core/index.ts';
import { answered, type Connection } from '../kafkajs/index.ts';
import { CODE } from '../protocol/index.ts';

const AGAIN = 'The job goes on from its last checkpoint when it is started again.';

export function fenced(name: string, transactionalId: string): MillraceError {
  return new MillraceError(
    'ERR_MILLRACE_FENCED',
    `${name}: another process has taken this job over (it has the transactional id ${transactionalId} now), and this one writes nothing more. What it had written since the last checkpoint was aborted; the other one goes on from there. A job runs once at a time: give a second one another name.`,
  );
}

export function timedOut(name: string, timeoutMs: number): MillraceError {
  return new MillraceError(
    'ERR_MILLRACE_TRANSACTION',
    `${name}: the broker has aborted the transaction, which was open for longer than transactionTimeout (${timeoutMs / 1000} s) or was disturbed. ${AGAIN} If it happens often, raise transactionTimeout of kafka.sink well above the time between two checkpoints.`,
  );
}

/** @param what what was under way: `the transaction is committed` */
export function lostAnswer(name: string, what: string, why: string): MillraceError {
  return new MillraceError(
    'ERR_MILLRACE_TRANSACTION',
    `${name}: the broker's answer got lost while ${what} (${why}). Whether that was done is found out at the next start. ${AGAIN}`,
  );
}

export function brokenTransaction(name: string, why: string): MillraceError {
  return new MillraceError('ERR_MILLRACE_TRANSACTION', `${name}: the transaction cannot be continued: ${why}. It is aborted. ${AGAIN}`);
}

export function timeoutRefused(name: string, timeoutMs: number): MillraceError {
  return new MillraceError(
    'ERR_MILLRACE_OPTION',
    `${name}: transactionTimeout is ${timeoutMs} ms, and the brokers allow less (their setting transaction.max.timeout.ms, 900000 by default). Lower the option of kafka.sink, or raise that setting.`,
  );
}

export function oldBrokers(name: string): MillraceError {
  return new MillraceError(
    'ERR_MILLRACE_BROKER',
    `${name}: the brokers are too old for transactions that fence; Kafka 2.8 is the oldest that serves. Update them, or use guarantee: 'at-least-once'.`,
  );
}

/** A request of the transaction was refused for good. */
export function refusal(connection: Connection, { name }: { readonly name: string }, what: string, code: number): MillraceError {
  const cause = answered(code);
  const failed = `${name}: it failed while ${what}`;
  switch (code) {
    case CODE.metadataTooLarge:
      return new MillraceError(
        'ERR_MILLRACE_CHECKPOINT',
        `${failed}: the text that goes with a position is longer than the brokers take (their setting offset.metadata.max.bytes, 4096 by default). Nothing was committed. Raise that setting.`,
        { cause },
      );
    case CODE.unknownTopic:
      return new MillraceError('ERR_MILLRACE_TOPIC', `${failed}: the topic is not there any more. Create it again, or write to another one.`, { cause });
    case CODE.fencedInstance:
      return new MillraceError(
        'ERR_MILLRACE_FENCED',
        `${failed}: another process reads for the consumer group now, and this one writes nothing more. One job at a time reads a topic for a group: give a second one a group of its own.`,
        { cause },
      );
    case CODE.illegalGeneration:
    case CODE.unknownMember:
      return brokenTransaction(name, `the membership in the consumer group has changed while ${what}`);
    default:
      // A missing right does not pass; whatever else was refused may be different after a new start.
      return cause.type.endsWith('AUTHORIZATION_FAILED') ? connection.error(failed, cause) : brokenTransaction(name, `${cause.message} while ${what}`);
  }
}
