// The probability models against their definitions over arrays, and merges in any cut.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  Bernoulli,
  Cooccurrence,
  ExponentialSmoothing,
  Gaussian,
  LinearCounter,
  MovingAverage,
  normalDensity,
  seededRng,
  wilsonInterval,
  zScore,
} from '../../core/index.ts';
import { fc } from '../seed.ts';

const near = (got: number, expected: number, relative = 1e-9) =>
  assert.ok(Math.abs(got - expected) <= relative * (1 + Math.abs(expected)), `${got} for ${expected}`);
const numbers = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 2, maxLength: 60 });

describe('probability models', () => {
  test('Gaussian: mean and variance by two passes, in any cut', () => {
    fc.assert(
      fc.property(numbers, fc.nat(60), (values, cut) => {
        const [a, b] = [new Gaussian(), new Gaussian()];
        values.forEach((x, i) => (i < cut ? a : b).add(x));
        a.merge(b);
        const mean = values.reduce((s, x) => s + x, 0) / values.length;
        const variance = values.reduce((s, x) => s + (x - mean) ** 2, 0) / (values.length - 1);
        assert.equal(a.count, values.length);
        near(a.mean, mean, 1e-7);
        near(a.variance, variance, 1e-7);
      }),
    );
    const [none, one] = [new Gaussian(), new Gaussian()];
    one.add(3);
    assert.deepEqual([none.mean, one.mean, one.variance], [Number.NaN, 3, Number.NaN]);
  });

  test('density and z-score', () => {
    // Tables of the standard normal distribution.
    near(normalDensity(0, 0, 1), 0.398_942_280_4, 1e-9);
    near(normalDensity(12, 10, 2), 0.120_985_362_3, 1e-9);
    assert.equal(zScore(16, 10, 2), 3);
    assert.deepEqual([zScore(5, 5, 0), zScore(6, 5, 0), normalDensity(6, 5, 0)], [0, Number.POSITIVE_INFINITY, 0]);
    // The density integrates to 1.
    let total = 0;
    for (let x = -60; x <= 60; x += 0.01) total += normalDensity(x, 1, 7) * 0.01;
    near(total, 1, 1e-6);
  });

  test('Bernoulli: Wilson intervals are the roots of (p - rate)^2 = z^2 p (1 - p) / n, and cover the true rate', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10_000 }), fc.double({ min: 0, max: 1, noNaN: true }), (trials, share) => {
        const successes = Math.round(trials * share);
        const { low, high } = wilsonInterval(successes, trials, 1.96);
        const rate = successes / trials;
        assert.ok(0 <= low && low <= rate && rate <= high && high <= 1);
        for (const p of [low, high]) if (p > 1e-9 && p < 1 - 1e-9) near((p - rate) ** 2, (1.96 ** 2 * p * (1 - p)) / trials, 1e-9);
      }),
    );
    assert.deepEqual(wilsonInterval(0, 0), { low: 0, high: 1 });
    const rng = seededRng(3);
    let covered = 0;
    for (let run = 0; run < 1_000; run++) {
      const [a, b] = [new Bernoulli(), new Bernoulli()];
      for (let i = 0; i < 80; i++) (i < 30 ? a : b).add(rng() < 0.07);
      a.merge(b);
      assert.equal(a.trials, 80);
      const { low, high } = a.interval();
      if (low <= 0.07 && 0.07 <= high) covered++;
    }
    assert.ok(covered >= 920 && covered <= 990, `${covered} of 1,000 intervals of 95 %`);
  });

  test('conditional probability: the share of the sets with a that have b', () => {
    const items = fc.array(fc.constantFrom<string[]>('a', 'b', 'c', '__proto__'), { maxLength: 5 });
    fc.assert(
      fc.property(fc.array(items, { maxLength: 20 }), fc.nat(20), (sets, cut) => {
        const [one, other] = [new Cooccurrence<string>(), new Cooccurrence<string>()];
        sets.forEach((set, i) => (i < cut ? one : other).add(set));
        one.merge(other);
        for (const a of ['a', 'b', '__proto__']) {
          for (const b of ['a', 'c']) {
            const withA = sets.filter((set) => set.includes(a));
            const expected = withA.filter((set) => set.includes(b)).length / withA.length;
            assert.equal(one.probability(b, a), expected);
            assert.equal(one.lift(b, a), expected / (sets.filter((set) => set.includes(b)).length / sets.length));
          }
        }
      }),
    );
    const baskets = new Cooccurrence<string>();
    for (const set of [['x', 'y'], ['x', 'y', 'z'], ['x']]) baskets.add(set);
    assert.deepEqual(baskets.likeliest('x', 1), [{ item: 'y', probability: 2 / 3 }]);
  });

  test('moving average: of the values of the span, out of order too', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 500 }), fc.integer({ min: -100, max: 100 })), { maxLength: 120 }),
        fc.integer({ min: 1, max: 200 }),
        (steps, span) => {
          const average = new MovingAverage(span);
          const seen: (readonly [number, number])[] = [];
          let newest = Number.NEGATIVE_INFINITY;
          for (const [time, value] of steps) {
            newest = Math.max(newest, time);
            seen.push([time, value]);
            const inside = seen.filter(([t]) => t > newest - span);
            assert.equal(average.add(time, value), inside.reduce((s, [, v]) => s + v, 0) / inside.length);
            assert.equal(average.count, inside.length);
          }
        },
      ),
    );
  });

  test('exponential smoothing: weights by age, in any order and cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 5_000 }), fc.integer({ min: 0, max: 100 })), { minLength: 1, maxLength: 50 }),
        fc.nat(50),
        (steps, cut) => {
          const [a, b] = [new ExponentialSmoothing(700), new ExponentialSmoothing(700)];
          steps.forEach(([time, value], i) => {
            (i < cut ? a : b).add(time, value);
          });
          a.merge(b);
          const newest = Math.max(...steps.map(([time]) => time));
          const weights = steps.map(([time]) => 0.5 ** ((newest - time) / 700));
          near(a.mean, steps.reduce((s, [, v], i) => s + v * (weights[i] as number), 0) / weights.reduce((s, w) => s + w, 0));
        },
      ),
    );
  });

  test('linear counting: within five standard errors, merged or not', () => {
    for (const n of [100, 5_000, 30_000]) {
      const [a, b] = [new LinearCounter(), new LinearCounter()];
      for (let i = 0; i < n; i++) {
        (i % 3 === 0 ? a : b).add(i % 2 === 0 ? i : `text ${i}`);
        b.add(i % 2 === 0 ? i : `text ${i}`);
      }
      a.merge(b);
      const t = n / a.bits;
      assert.ok(Math.abs(a.estimate - n) <= 5 * Math.sqrt(a.bits * (Math.exp(t) - t - 1)), `${a.estimate} for ${n}`);
    }
  });

  test('goes on from a structured clone of its state as if nothing had been', () => {
    interface Model {
      readonly state: unknown;
      add(first: number, second: number): unknown;
    }
    const [sets, smoothing] = [(n: number) => [`${n % 3}`, `${n % 5}`], 300];
    const kinds: ((state?: unknown) => Model & { readonly answer: unknown })[] = [
      (state) => {
        const model = new Gaussian(state as Gaussian['state']);
        return { state: model.state, add: (_, x) => model.add(x), answer: { mean: model.mean, variance: model.variance, count: model.count } };
      },
      (state) => {
        const model = new Bernoulli(state as Bernoulli['state']);
        return { state: model.state, add: (_, x) => model.add(x > 50), answer: [model.rate, model.interval()] };
      },
      (state) => {
        const model = new Cooccurrence<string>(state as Cooccurrence<string>['state']);
        return { state: model.state, add: (_, x) => model.add(sets(x)), answer: [...model.items()].map((item) => [item, model.likeliest(item, 9)]) };
      },
      (state) => {
        const model = new MovingAverage(smoothing, state as MovingAverage['state']);
        return { state: model.state, add: (time, x) => model.add(time, x), answer: [model.mean, model.count] };
      },
      (state) => {
        const model = new ExponentialSmoothing(smoothing, state as ExponentialSmoothing['state']);
        return { state: model.state, add: (time, x) => model.add(time, x), answer: model.mean };
      },
      (state) => {
        const model = new LinearCounter(64, state as LinearCounter['state']);
        return { state: model.state, add: (_, x) => model.add(x), answer: model.estimate };
      },
    ];
    for (const kind of kinds) {
      const whole = kind();
      let state = structuredClone(kind().state);
      for (let i = 0; i < 90; i++) {
        const x = (i * 37) % 101;
        whole.add(i * 10, x);
        // A model anew for each value, over what the last one left.
        kind(state).add(i * 10, x);
        if (i % 7 === 0) state = structuredClone(state);
      }
      assert.deepEqual(state, whole.state);
      assert.deepEqual(kind(state).answer, kind(whole.state).answer);
    }
  });
});
