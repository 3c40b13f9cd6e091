import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trained, withPage } from './browser.mjs';

test('the recorded regression follows its float64 losses', () =>
  withPage({ hash: '#learn=recorded' }, async (page) => {
    await trained(page, 30);
    const { got, want } = await page.evaluate(() => ({
      got: window.page.training.first,
      want: [true, false].map((normalized) => [...window.page.lab.recorded_losses(normalized)]),
    }));
    for (const [net, steps] of [[0, 8], [1, 30]]) {
      for (let step = 0; step < steps; step++) {
        const error = Math.abs(got[net][step] - want[net][step]);
        assert.ok(error <= 1e-5, `network ${net}, step ${step}: ${got[net][step]} for ${want[net][step]}`);
      }
    }
  }));

test('the rate changes while the networks train, and the depth begins a new training', () =>
  withPage({ hash: '#learn=regression&depth=3&width=16&batch=64&rate=0.05' }, async (page) => {
    await trained(page, 20);
    await page.evaluate(() => (window.before = window.page.training));
    const set = (name, value, event) => page.evaluate((n, v, e) => {
      const element = document.forms[0].elements[n];
      element.value = v;
      element.dispatchEvent(new Event(e, { bubbles: true }));
    }, name, value, event);

    // No rate at all, nearly: the losses of the same batch stay as they are.
    await set('rate', '0', 'input');
    const steps = await page.evaluate(() => window.page.training.steps);
    await trained(page, steps + 20);
    assert.ok(await page.evaluate(() => window.page.training === window.before && location.hash.includes('rate=0.001')));

    await set('depth', '5', 'change');
    await page.waitForFunction(() => window.page.training !== window.before && window.page.training.steps > 5);
    const layers = await page.evaluate(() => window.page.training.measured.gradients.map((norms) => norms.length));
    assert.deepEqual(layers, [6, 6]);
  }));

test('digits are learned sooner with batch normalization', () =>
  withPage({ hash: '#learn=digits&width=64' }, async (page) => {
    await trained(page, 150);
    // Single steps are measured.
    await page.click('#step');
    await page.waitForFunction(() => window.page.training.evaluations.running.every((all) => all.at(-1).at > 150));
    const [one, other] = await page.evaluate(() => window.page.training.evaluations.running.map((all) => all.at(-1).share));
    assert.ok(one > 0.85 && other < 0.5, `${one} with, ${other} without`);
  }));

test('every choice of the form trains', () =>
  withPage({ hash: '#learn=regression&depth=2&width=16&batch=2&activation=sigmoid&place=after&variance=biased' }, async (page) => {
    await trained(page, 20);
    const losses = await page.evaluate(() => window.page.training.losses.map((curve) => curve.last));
    assert.ok(losses.every(Number.isFinite), losses.join());
    await page.click('#step');
    const steps = await page.evaluate(() => new Promise((resolve) => setTimeout(() => resolve(window.page.training.steps), 500)));
    await page.click('#step');
    await page.waitForFunction((n) => window.page.training.steps === n, {}, steps + 1);
  }));
