/**
 * Values of rows as `over` keeps them: written from a record (by-key/row-image.ts) into a row of a pane, compared,
 * and counted in and out of texts.
 */

import { assert, type SharedMemory } from '../../core/index.ts';
import type { RowImage } from '../by-key/index.ts';
import { type Lane, NULL_BITS, type Order } from './over-layout.ts';
import type { ValueTexts } from './value-texts.ts';

const TWO_32 = 4_294_967_296;

export class LaneValues {
  readonly #memory: SharedMemory;
  readonly #lanes: readonly Lane[];
  readonly #image: RowImage;
  readonly #texts: ValueTexts;
  readonly #textLanes: readonly Lane[];
  readonly #nullWords: number;

  /** @param image of all columns of the input */
  constructor(memory: SharedMemory, lanes: readonly Lane[], image: RowImage, texts: ValueTexts) {
    this.#memory = memory;
    this.#lanes = lanes;
    this.#image = image;
    this.#texts = texts;
    this.#textLanes = lanes.filter(({ kind }) => kind === 'text');
    this.#nullWords = Math.ceil(lanes.filter(({ nullBit }) => nullBit >= 0).length / 64) * 2;
  }

  /** Writes the values of a record into a row. Texts are used once more. */
  write(record: number, row: number, time: number): void {
    const { f64, u32, u8 } = this.#memory;
    f64[row >>> 3] = time;
    for (let w = 0; w < this.#nullWords; w++) u32[((row + NULL_BITS) >>> 2) + w] = 0;
    for (let l = 0; l < this.#lanes.length; l++) {
      const lane = this.#lanes[l] as Lane;
      const { at, nullAt } = this.#image.placeOf(lane.column);
      const to = row + lane.at;
      if (nullAt >= 0 && u8[record + nullAt] === 1) {
        const word = (row + NULL_BITS + (lane.nullBit >>> 5) * 4) >>> 2;
        u32[word] = (u32[word] as number) | (1 << (lane.nullBit & 31));
        f64[to >>> 3] = 0;
      } else if (lane.kind === 'text') {
        f64[to >>> 3] = this.#texts.intern(this.#image.textStart(record, lane.column), u32[(record + at) >>> 2] as number);
      } else if (lane.kind === 'long') {
        u32[to >>> 2] = u32[(record + at) >>> 2] as number;
        u32[(to >>> 2) + 1] = u32[((record + at) >>> 2) + 1] as number;
      } else f64[to >>> 3] = this.#number(lane, record + at);
    }
  }

  isNull(row: number, lane: Lane): boolean {
    if (lane.nullBit < 0) return false;
    return (((this.#memory.u32[(row + NULL_BITS + (lane.nullBit >>> 5) * 4) >>> 2] as number) >>> (lane.nullBit & 31)) & 1) === 1;
  }

  /** The texts of a row are used once less. */
  releaseTexts(row: number): void {
    for (let l = 0; l < this.#textLanes.length; l++) {
      const lane = this.#textLanes[l] as Lane;
      if (!this.isNull(row, lane)) this.#texts.release(this.#memory.f64[(row + lane.at) >>> 3] as number);
    }
  }

  /** Whether the value at `b` takes the place of that at `a`, which came before it, as the one in front. */
  takesPlace(lane: Lane, order: Order, a: number, b: number): boolean {
    if (order === 'first') return false;
    if (order === 'last') return true;
    const { f64 } = this.#memory;
    if (lane.kind === 'number') {
      const [x, y] = [f64[a >>> 3] as number, f64[b >>> 3] as number];
      // NaN is the greatest.
      return order === 'min' ? y <= x || x !== x : y >= x || y !== y;
    }
    const difference = lane.kind === 'text' ? this.#texts.compare(f64[a >>> 3] as number, f64[b >>> 3] as number) : this.#compareLongs(a, b);
    return order === 'min' ? difference >= 0 : difference <= 0;
  }

  #compareLongs(a: number, b: number): number {
    const { i32, u32 } = this.#memory;
    return (i32[(a >>> 2) + 1] as number) - (i32[(b >>> 2) + 1] as number) || (u32[a >>> 2] as number) - (u32[b >>> 2] as number);
  }

  #number({ type }: Lane, at: number): number {
    const { f64, f32, i32, u32, i16, i8, u8 } = this.#memory;
    switch (type.name) {
      case 'f64':
        return f64[at >>> 3] as number;
      case 'timestamp':
        return (i32[(at >>> 2) + 1] as number) * TWO_32 + (u32[at >>> 2] as number);
      case 'f32':
        return f32[at >>> 2] as number;
      case 'i32':
        return i32[at >>> 2] as number;
      case 'u32':
        return u32[at >>> 2] as number;
      case 'i16':
        return i16[at >>> 1] as number;
      case 'i8':
        return i8[at] as number;
      default:
        if (type.name !== 'bool') assert(false, `a ${type.name} is no number`);
        return u8[at] as number;
    }
  }
}
