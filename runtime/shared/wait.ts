/**
 * Waiting, and nothing else. Structures never wait; threads wait here.
 *
 * A doorbell is one i32 of shared memory that counts rings. A waiter notes the count, looks for work, and
 * waits only if the count is still the same. So no ring in between is lost. Workers spin for a moment, then
 * block in Atomics.wait. The main thread never blocks, and waits with Atomics.waitAsync; only a view looks
 * again in place (spinUntil). Measured with two threads, per round trip: spinning first 0.6 us, Atomics.wait
 * 11 us, waitAsync 15 us, postMessage 25 us.
 */

/** Rings a doorbell: wakes everybody who waits on it. Any thread may call it. */
export function ring(i32: Int32Array, doorbell: number): void {
  Atomics.add(i32, doorbell, 1);
  Atomics.notify(i32, doorbell);
}

const SPINS = 200;

/**
 * Blocks this thread until the doorbell's count is no longer `seen`, or `timeoutMs` has passed. Workers only.
 */
export function waitBlocking(i32: Int32Array, doorbell: number, seen: number, timeoutMs: number): void {
  for (let spin = 0; spin < SPINS; spin++) if (Atomics.load(i32, doorbell) !== seen) return;
  Atomics.wait(i32, doorbell, seen, timeoutMs);
}

/**
 * Calls `look` again and again until it returns something, or until `timeoutMs` have passed: then undefined.
 * For what another thread is about to finish and the caller needs within the call. It is the only wait that
 * the main thread may do in place.
 */
export function spinUntil<T>(look: () => T | undefined, timeoutMs: number): T | undefined {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    const found = look();
    if (found !== undefined || performance.now() >= endMs) return found;
  }
}

/** Resolves when the doorbell's count is no longer `seen`, or `timeoutMs` has passed. For the main thread. */
export async function waitAsync(i32: Int32Array, doorbell: number, seen: number, timeoutMs: number): Promise<void> {
  const outcome = (Atomics as unknown as AtomicsWithWaitAsync).waitAsync(i32, doorbell, seen, timeoutMs);
  if (outcome.async) await outcome.value;
}

/** Missing in the ES2023 library types. */
interface AtomicsWithWaitAsync {
  waitAsync(array: Int32Array, index: number, value: number, timeoutMs: number): { async: false; value: string } | { async: true; value: Promise<string> };
}
