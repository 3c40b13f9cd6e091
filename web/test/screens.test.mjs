import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { OUT, trained, withPage } from './browser.mjs';

const SCREENS = join(OUT, '../web-screens');
mkdirSync(SCREENS, { recursive: true });

for (const [width, height] of [[1280, 900], [390, 844]]) {
  test(`nothing stands out of a page of ${width} pixels, light or dark`, () =>
    withPage({ hash: '#learn=digits&width=32', width, height }, async (page) => {
      await trained(page, 60);
      for (const scheme of ['light', 'dark']) {
        await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
        // So that all charts are drawn in these colours.
        const steps = await page.evaluate(() => window.page.training.steps);
        await trained(page, steps + 10);
        await page.screenshot({ path: join(SCREENS, `${width}-${scheme}.png`), fullPage: true });
        const { content, wide } = await page.evaluate(() => ({
          content: document.documentElement.scrollWidth,
          wide: [...document.querySelectorAll('body *')].filter((element) => element.getBoundingClientRect().right > innerWidth + 1 && !element.closest('.scroll')).map((element) => element.outerHTML.slice(0, 80)),
        }));
        assert.ok(content <= width, `${content} pixels`);
        assert.deepEqual(wide, []);
      }
    }));
}
