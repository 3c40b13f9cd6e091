import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SMALL, evidence, trained, withPage } from './browser.mjs';

test('sums of more than 1,024 loads of an invocation agree with the CPU twins', () =>
  withPage({ hash: SMALL }, async (page) => {
    await trained(page, 1);
    const verdicts = await page.evaluate(async () => {
      const { withDevice } = await import('./evidence.js');
      return withDevice(async ({ LongSums }, device) => {
        const all = [];
        for (const rows of [true, false]) {
          const sums = new LongSums(device, rows);
          for (let plan = 0; plan < sums.len(); plan++) {
            const { name, passed, worst, error } = await sums.check(plan);
            all.push({ name, passed, worst, error });
          }
          sums.free();
        }
        return all;
      });
    });
    assert.ok(verdicts.length >= 8, `${verdicts.length} plans`);
    assert.deepEqual(verdicts.filter(({ passed }) => !passed), []);
  }));

test('the speed of the device is measured beside a copy, and training goes on', () =>
  withPage({ hash: SMALL }, async (page) => {
    await trained(page, 1);
    const speeds = await evidence(page, '#bench');
    assert.deepEqual(speeds.map(({ work }) => work), ['copy', 'training forward', 'backward']);
    for (const { work, milliseconds, rate, share } of speeds) {
      assert.ok(milliseconds > 0 && Number.isFinite(milliseconds), `${work}: ${milliseconds} ms`);
      assert.ok(rate > 0 && Number.isFinite(rate), `${work}: ${rate} GB/s`);
      // A layer does no less than a copy; what stays in a cache is read faster than a copy reads.
      assert.ok(share > 0 && share < 4, `${work}: ${share} of the copy`);
    }
    const [copy, ...layer] = speeds;
    assert.equal(copy.share, 1);
    // 2 × 64 × 56 × 56 float32, read and written.
    const bytes = copy.rate * copy.milliseconds * 1e6;
    assert.ok(Math.abs(bytes / (2 * 4 * 2 * 64 * 56 * 56) - 1) < 1e-9, `${bytes} bytes copied`);
    for (const { work, rate, share } of layer) assert.ok(Math.abs(share / (rate / copy.rate) - 1) < 1e-9, work);
    const rows = await page.$$eval('#evidence tbody tr', (all) => all.map((row) => row.cells[0].textContent));
    assert.deepEqual(rows, speeds.map(({ work }) => work));
    const steps = await page.evaluate(() => window.page.training.steps);
    await trained(page, steps + 2);
  }));
