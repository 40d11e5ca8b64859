// Bulk moves. Addresses are bytes of the shared memory.

export function memoryCopy(to: usize, from: usize, bytes: usize): void {
  memory.copy(to, from, bytes);
}
