import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { defaults, fromHash, toHash } from '../page/settings.js';
import { trained, withPage } from './browser.mjs';

const KEYS = Object.keys(defaults('digits'));

// Addresses that are nearly links to settings.
const value = fc.oneof(
  fc.string(),
  fc.double().map(String),
  fc.constantFrom('digits', 'recorded', 'relu', 'before', 'biased', 'constructor', '__proto__', '1e400', '-1', '0x10', ''),
);
const pair = fc.tuple(fc.oneof(fc.constantFrom(...KEYS, '__proto__', 'toString'), fc.string()), value);
const link = fc.array(pair, { maxLength: 12 }).map((pairs) => `#${new URLSearchParams(pairs)}`);

test('any address is no settings, or all of them, and makes the same address again', () => {
  fc.assert(
    fc.property(fc.oneof(link, fc.string()), (hash) => {
      const settings = fromHash(hash);
      if (!settings) return;
      assert.deepEqual(Object.keys(settings), KEYS);
      const usual = defaults(settings.learn);
      for (const key of KEYS) assert.equal(typeof settings[key], typeof usual[key], key);
      assert.deepEqual(fromHash(toHash(settings)), settings);
    }),
    { numRuns: 20_000 },
  );
});

const HOSTILE = [
  '#learn=constructor',
  '#learn=__proto__&depth=3',
  '#learn=regression&depth=1e9&width=-3&batch=abc&rate=NaN&seed=1e400&activation=%00&place=%3Cscript%3E&variance=',
  '#learn=digits&depth=0&width=0&batch=0&rate=-1&seed=-1',
  '#learn=digits&learn=recorded&rate=1e999',
];

test('links ask for no more than the form does', () =>
  withPage({ hash: '#learn=regression&depth=2&width=16&batch=16' }, async (page) => {
    for (const hash of HOSTILE) {
      await page.evaluate((hash) => (location.hash = hash), hash);
      await trained(page, 2);
      const { settings, choices } = await page.evaluate(() => {
        const options = [...document.querySelectorAll('form select')].map((select) => [
          select.name,
          [...select.options].map((option) => option.value),
        ]);
        return { settings: window.page.settings, choices: Object.fromEntries(options) };
      });
      for (const [key, values] of Object.entries(choices)) {
        if (key in settings) assert.ok(values.includes(String(settings[key])), `${hash}: ${key} is ${settings[key]}`);
      }
      assert.ok(settings.depth >= 1 && settings.depth <= 20, `${hash}: depth ${settings.depth}`);
      assert.ok(settings.rate > 0 && settings.rate <= 10, `${hash}: rate ${settings.rate}`);
      assert.ok(Number.isInteger(settings.seed) && settings.seed >= 0, `${hash}: seed ${settings.seed}`);
    }
  }));
