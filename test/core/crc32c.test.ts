import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { attachMemory, crc32c, crc32cBytes, createMemory } from '../../core/index.ts';

const kafkajsCrc32c = createRequire(import.meta.url)('kafkajs/src/protocol/recordBatch/crc32C') as (bytes: Uint8Array) => number;

// RFC 3720, appendix B.4, and the check value of the CRC catalogue.
const KNOWN: [name: string, bytes: Uint8Array, crc: number][] = [
  ['nothing', new Uint8Array(0), 0],
  ['123456789', new TextEncoder().encode('123456789'), 0xe3069283],
  ['32 zeros', new Uint8Array(32), 0x8a9136aa],
  ['32 ones', new Uint8Array(32).fill(0xff), 0x62a8ab43],
  ['0 to 31', Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
  ['31 to 0', Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
];
const ADDRESS = 131_072;

test('CRC32C gives the known answers, kernel and reference', () => {
  for (const memory of [createMemory(1 << 20), attachMemory(new SharedArrayBuffer(1 << 20))]) {
    for (const [name, bytes, crc] of KNOWN) {
      memory.u8.set(bytes, ADDRESS);
      assert.equal(crc32c(memory, ADDRESS, bytes.length), crc, name);
      assert.equal(crc32cBytes(bytes), crc, name);
    }
  }
});

test('every length and alignment agrees with kafkajs, and parts chain', () => {
  const memory = createMemory(1 << 20);
  for (let i = 0; i < 400; i++) memory.u8[ADDRESS + i] = Math.imul(i, 0x9e3779b1) >>> 21;
  for (let length = 0; length < 100; length++) {
    for (let at = ADDRESS; at < ADDRESS + 9; at++) {
      const expected = kafkajsCrc32c(Buffer.from(memory.u8.slice(at, at + length))) >>> 0;
      assert.equal(crc32c(memory, at, length), expected);
      assert.equal(crc32cBytes(memory.u8, at, at + length), expected);
      const cut = length >> 1;
      assert.equal(crc32c(memory, at + cut, length - cut, crc32c(memory, at, cut)), expected);
      assert.equal(crc32cBytes(memory.u8, at + cut, at + length, crc32cBytes(memory.u8, at, at + cut)), expected);
    }
  }
});
