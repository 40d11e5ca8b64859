// Bulk fills and moves. Contract: core/memory/bulk.ts. Addresses are bytes of the shared memory.

export function memoryFill(address: usize, byte: u32, bytes: usize): void {
  memory.fill(address, <u8>byte, bytes);
}

export function memoryCopy(to: usize, from: usize, bytes: usize): void {
  memory.copy(to, from, bytes);
}
