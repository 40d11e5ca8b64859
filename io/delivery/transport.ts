/** What a sink that delivers records has to bring: one function that sends some, and how it says what failed. */

/** The records of one request, in their order. */
export class Records {
  readonly count: number;
  readonly byteLength: number;
  /** Their bytes, in pieces of whole records. Views of shared memory: valid until the request is over. */
  readonly chunks: readonly Uint8Array[];
  /** Whose they are: requests of one lane come one after the other. */
  readonly lane: number;
  /**
   * The first one's place among all records of the lane. A transport that reports none as retriable gets them
   * without gaps, and the same ones again under the same number.
   */
  readonly sequence: number;
  readonly #records: readonly Uint8Array[];

  constructor(records: readonly Uint8Array[], chunks: readonly Uint8Array[] = records, lane = 0, sequence = 0) {
    this.#records = records;
    this.lane = lane;
    this.sequence = sequence;
    this.chunks = chunks;
    this.count = records.length;
    this.byteLength = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  record(index: number): Uint8Array {
    return this.#records[index] as Uint8Array;
  }
}

/** A record that the server did not take. */
export interface RecordFault {
  /** Its place in the request. */
  readonly record: number;
  /** Whether it may be taken when it is sent again: the server was busy. */
  readonly isRetriable: boolean;
  /** The server's own words. */
  readonly message: string;
}

export interface Transport {
  /**
   * Sends the records in their order, and resolves when the server has them.
   *
   * @returns those that it did not take; all others are stored
   * @throws Unavailable when nothing can be said of any of them, and it is worth another try; TooLarge when
   * the server takes smaller requests only; Refused when one record spoils the others. Any other error ends the job.
   */
  send(records: Records, signal: AbortSignal): Promise<readonly RecordFault[]>;
  /** A record as text, for the ledger and for dead letters. Default: its bytes as UTF-8. */
  textOf?(record: Uint8Array): string;
  close?(): Promise<void>;
}

/** The server cannot be reached, is too busy, or did not answer in time. It may do so later. */
export class Unavailable extends Error {
  /** The server asked for a pause of so many ms. */
  readonly pauseMs: number | undefined;

  constructor(message: string, options: { readonly pauseMs?: number | undefined; readonly cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.pauseMs = options.pauseMs;
  }
}

/** The server takes none of the records, because of one of them, and does not say which: each half is tried for itself. */
export class Refused extends Error {}

/** The server takes no request of this size. */
export class TooLarge extends Error {}
