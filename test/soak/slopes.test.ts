import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { grows, slopePerHour } from './slopes.js';

describe('the slope of a figure', () => {
  it('is that of a line through the points', () => {
    const points = [0, 1, 2, 3].map((minute) => ({ hours: minute / 60, value: 100 + 5 * minute }));
    assert.ok(Math.abs(slopePerHour(points) - 300) < 1e-9);
  });

  it('is that of the middle of what goes up and down', () => {
    const points = [0, 1, 2, 3, 4].map((hours) => ({ hours, value: 7 * hours + (hours % 2 === 0 ? 1 : -1) }));
    assert.ok(Math.abs(slopePerHour(points) - 7) < 1e-9);
  });

  it('is none for one point, or for none', () => {
    assert.equal(slopePerHour([{ hours: 1, value: 9 }]), 0);
    assert.equal(slopePerHour([]), 0);
  });

  it('is too steep beyond the noise and what an hour may add', () => {
    const bound = { noise: 10, perHour: 4 };
    assert.equal(grows(13, 1, bound), false);
    assert.equal(grows(15, 1, bound), true);
    assert.equal(grows(100, 0.1, bound), false);
    assert.equal(grows(-100, 1, bound), false);
  });
});
