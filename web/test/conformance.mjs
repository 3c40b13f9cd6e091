// All reference files in the page, on the plans of one class of devices.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SMALL, evidence, trained, withPage } from './browser.mjs';

export const testReferenceFiles = (plans) =>
  test(`all reference files are right on the plans of a ${plans}`, () =>
    withPage({ hash: SMALL }, async (page) => {
      await trained(page, 1);
      await page.select('#plans', plans);
      const verdicts = await evidence(page, '#check', 400_000);
      assert.equal(verdicts.length, 68);
      assert.equal(new Set(verdicts.map(({ name }) => name)).size, 68);
      assert.deepEqual(verdicts.filter(({ passed }) => !passed), []);
    }));
