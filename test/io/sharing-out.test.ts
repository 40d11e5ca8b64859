/** Tasks are shared out evenly, to everybody, and nobody loses more than it must. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Claim, sharedOut } from '../../io/kafka/client/sharing-out.ts';
import { caseCount, fc } from '../seed.ts';

const members = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 9 });
const count = fc.constantFrom(1, 2, 4, 8, 16, 32, 64);
const sizes = (claims: readonly Claim[]) => claims.map(({ tasks }) => tasks.length).sort((a, b) => a - b);

test('every task has one member, and nobody has two more than another', () => {
  fc.assert(
    fc.property(members, count, fc.array(fc.array(fc.integer({ min: -1, max: 70 }), { maxLength: 20 }), { maxLength: 9 }), (names, tasks, had) => {
      const shared = sharedOut(
        names.map((member, i) => ({ member, tasks: had[i] ?? [] })),
        tasks,
      );
      assert.deepEqual(shared.map(({ member }) => member).sort(), [...names].sort());
      assert.deepEqual(
        shared.flatMap((one) => one.tasks).sort((a, b) => a - b),
        Array.from({ length: tasks }, (_, task) => task),
      );
      const of = sizes(shared);
      assert.ok((of.at(-1) as number) - (of[0] as number) <= 1, of.join());
    }),
    { numRuns: caseCount(300) },
  );
});

test('who stays keeps what it has, as far as that is even', () => {
  fc.assert(
    fc.property(members, count, fc.nat(8), fc.boolean(), (names, tasks, which, leaves) => {
      const before = sharedOut(
        names.map((member) => ({ member, tasks: [] })),
        tasks,
      );
      const gone = names[which % names.length] as string;
      const now = leaves ? before.filter(({ member }) => member !== gone) : [...before, { member: 'one that is new', tasks: [] }];
      if (now.length === 0) return;
      const after = sharedOut(now, tasks);
      const had = new Map(before.map((one) => [one.member, one.tasks]));
      const least = Math.floor(tasks / now.length);
      for (const { member, tasks: has } of after) {
        const kept = has.filter((task) => had.get(member)?.includes(task)).length;
        assert.ok(kept >= Math.min(had.get(member)?.length ?? 0, least), `${member} had ${had.get(member)?.length}, has ${has.length}, kept ${kept}`);
        if (leaves) assert.equal(kept, had.get(member)?.length ?? 0, 'nobody loses a task when another one leaves');
      }
    }),
    { numRuns: caseCount(300) },
  );
});
