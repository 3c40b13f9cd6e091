import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trained, withPage } from './browser.mjs';

const SMALL = '#learn=regression&depth=1&width=16&batch=16';

for (const plans of ['Gpu', 'Software']) {
  test(`all reference files are right on the plans of a ${plans}`, () =>
    withPage({ hash: SMALL }, async (page) => {
      await trained(page, 1);
      await page.select('#plans', plans);
      await page.click('#check');
      await page.waitForFunction(() => window.page.evidence, { timeout: 600_000 });
      const verdicts = await page.evaluate(() => window.page.evidence);
      assert.equal(verdicts.length, 68);
      const wrong = verdicts.filter(({ passed }) => !passed);
      assert.deepEqual(wrong, []);
    }));
}

test('sums of more than 1,024 loads of an invocation agree with the CPU twins', () =>
  withPage({ hash: SMALL }, async (page) => {
    await trained(page, 1);
    const verdicts = await page.evaluate(async () => {
      const { LongSums } = await import('./batchnorm_web.js');
      const all = [];
      for (const rows of [true, false]) {
        const sums = new LongSums(window.page.lab, rows);
        for (let plan = 0; plan < sums.len(); plan++) {
          const { name, passed, worst, error } = await sums.check(plan);
          all.push({ name, passed, worst, error });
        }
        sums.free();
      }
      return all;
    });
    assert.ok(verdicts.length >= 8, `${verdicts.length} plans`);
    assert.deepEqual(verdicts.filter(({ passed }) => !passed), []);
  }));
