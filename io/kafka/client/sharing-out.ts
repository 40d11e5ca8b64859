/** Shares tasks out among the members of a group: evenly, and each keeps what it has as far as that is even. */

/** A member, and the tasks that it has. */
export interface Claim {
  readonly member: string;
  readonly tasks: readonly number[];
}

/**
 * @param claims what each has now; where two have the same task, the first one by name keeps it
 * @param count of the tasks, from 0
 * @returns what each has from now on: numbers of tasks differ by one at most
 */
export function sharedOut(claims: readonly Claim[], count: number): Claim[] {
  const taken = new Set<number>();
  const members = [...claims]
    .sort((a, b) => (a.member < b.member ? -1 : 1))
    .map(({ member, tasks }) => {
      const own = [...new Set(tasks)].filter((task) => task >= 0 && task < count && !taken.has(task));
      for (const task of own) taken.add(task);
      return { member, own };
    });
  // Those that have most now have most afterwards.
  const order = [...members].sort((a, b) => b.own.length - a.own.length);
  const least = Math.floor(count / members.length);
  const more = count % members.length;
  order.forEach(({ own }, rank) => {
    for (const task of own.splice(least + (rank < more ? 1 : 0))) taken.delete(task);
  });
  const free = Array.from({ length: count }, (_, task) => task).filter((task) => !taken.has(task));
  order.forEach(({ own }, rank) => {
    own.push(...free.splice(0, least + (rank < more ? 1 : 0) - own.length));
  });
  return members.map(({ member, own }) => ({ member, tasks: own.sort((a, b) => a - b) }));
}
