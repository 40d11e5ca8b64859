/** Methods of classes of the package, wrapped from outside; and the names of the planted bugs. */

export const CANARIES = ['commit-before-flush', 'manifest-before-segments', 'fencing-off', 'dropped-block', 'positions-too-far'] as const;
export type Canary = (typeof CANARIES)[number];

export function isCanary(name: unknown): name is Canary {
  return (CANARIES as readonly unknown[]).includes(name);
}

/**
 * Replaces a method of all objects of a class.
 *
 * @throws Error when there is no such method any more: then this file is behind the times
 */
export function around(
  type: { readonly prototype: object },
  name: string,
  wrapper: (this: object, original: (...args: unknown[]) => unknown, ...args: unknown[]) => unknown,
): void {
  const { prototype } = type as { readonly prototype: Record<string, unknown> };
  const method = prototype[name];
  if (typeof method !== 'function') throw new Error(`there is no method ${name} to wrap`);
  prototype[name] = function (this: object, ...args: unknown[]): unknown {
    const original = (...others: unknown[]): unknown => method.apply(this, others.length > 0 ? others : args);
    return wrapper.call(this, original, ...args);
  };
}
