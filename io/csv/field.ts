/** Finds the fields of one CSV record, one after the other: RFC 4180 quotes. It decodes nothing. */

const QUOTE = 0x22;

export class CsvField {
  readonly #u8: Uint8Array;
  readonly #delimiter: number;
  /** The last field found: its bytes without the quotes, whether it is quoted, whether it has doubled quotes. */
  from = 0;
  to = 0;
  isQuoted = false;
  hasQuotes = false;
  /** What was wrong with the field that `find` refused. */
  fault = '';

  constructor(u8: Uint8Array, delimiter: number) {
    this.#u8 = u8;
    this.#delimiter = delimiter;
  }

  /**
   * Finds the end of the field at `at`: the delimiter after it, or `to`; -1 when it is refused.
   *
   * @param recordFrom where the record begins, for messages
   */
  find(at: number, to: number, recordFrom: number): number {
    const u8 = this.#u8;
    this.isQuoted = at < to && u8[at] === QUOTE;
    this.hasQuotes = false;
    let p = at;
    if (!this.isQuoted) {
      for (; p < to && u8[p] !== this.#delimiter; p++) {
        if (u8[p] === QUOTE) return this.#refuse(`a quote at byte ${p - recordFrom} in a field that is not quoted; quote the field and double the quote`);
      }
      this.from = at;
      this.to = p;
      return p;
    }
    p++;
    for (; ; p++) {
      if (p >= to) return this.#refuse(`the quoted field at byte ${at - recordFrom} does not end`);
      if (u8[p] !== QUOTE) continue;
      if (p + 1 >= to || u8[p + 1] !== QUOTE) break;
      this.hasQuotes = true;
      p++;
    }
    this.from = at + 1;
    this.to = p;
    if (p + 1 < to && u8[p + 1] !== this.#delimiter) return this.#refuse(`expected a delimiter behind the closing quote at byte ${p - recordFrom}`);
    return p + 1;
  }

  #refuse(fault: string): -1 {
    this.fault = fault;
    return -1;
  }
}

/** The end of a record without its line end. */
export function withoutLineEnd(u8: Uint8Array, from: number, end: number): number {
  let to = end;
  if (to > from && u8[to - 1] === 0x0a) to--;
  if (to > from && u8[to - 1] === 0x0d) to--;
  return to;
}
