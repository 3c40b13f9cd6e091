import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SMALL, trained, withPage } from './browser.mjs';

test('every link to settings trains with these settings', () =>
  withPage({ hash: SMALL }, async (page) => {
    await trained(page, 1);
    const links = await page.$$eval('#presets a', (all) => all.map((link) => link.getAttribute('href')));
    assert.ok(links.length >= 3, links.join());
    for (const link of links) {
      await page.evaluate(() => (window.before = window.page.training));
      await page.click(`#presets a[href="${link}"]`);
      await page.waitForFunction(() => window.page.training !== window.before);
      await trained(page, 20);
      const { settings, losses, shown } = await page.evaluate(() => ({
        settings: window.page.settings,
        losses: window.page.training.first.flatMap((all) => [...all]),
        shown: location.hash,
      }));
      for (const [key, value] of new URLSearchParams(link.slice(1))) {
        assert.equal(String(settings[key]), value, `${key} of ${link}`);
        assert.equal(new URLSearchParams(shown.slice(1)).get(key), value, `${key} in the address after ${link}`);
      }
      assert.ok(losses.length >= 40 && losses.every(Number.isFinite), `${link}: ${losses}`);
    }
  }));
