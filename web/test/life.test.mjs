import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inPhase, trained, withPage } from './browser.mjs';

const DEEPER = '#learn=regression&depth=2&width=16&batch=16';

// Counts the bytes of buffers that were made and not destroyed. Parameters of a few bytes are left to the garbage collector.
function countBuffers() {
  window.bytes = 0;
  const sizes = new WeakMap();
  const { createBuffer } = GPUDevice.prototype;
  GPUDevice.prototype.createBuffer = function (descriptor) {
    const buffer = createBuffer.call(this, descriptor);
    const size = descriptor.size < 1024 ? 0 : descriptor.size;
    sizes.set(buffer, size);
    window.bytes += size;
    return buffer;
  };
  const { destroy } = GPUBuffer.prototype;
  GPUBuffer.prototype.destroy = function () {
    window.bytes -= sizes.get(this) ?? 0;
    sizes.delete(this);
    destroy.call(this);
  };
}

test('a hundred resets take no more memory than one', () =>
  withPage({ hash: DEEPER, before: countBuffers }, async (page) => {
    await trained(page, 2);
    const reset = async () => {
      await page.evaluate(() => (window.before = window.page.training));
      await page.click('#reset');
      await page.waitForFunction(() => window.page.training !== window.before && window.page.training.steps > 1);
      return page.evaluate(() => [window.bytes, window.page.memory.buffer.byteLength]);
    };
    for (let i = 0; i < 5; i++) await reset();
    const early = await reset();
    let late;
    for (let i = 0; i < 94; i++) late = await reset();
    assert.deepEqual(late, early);
  }));

test('a lost device is told, and another one trains', () =>
  withPage({ hash: DEEPER }, async (page) => {
    await trained(page, 2);
    await page.evaluate(() => window.page.lab.destroy());
    await inPhase(page, 'lost');
    await page.evaluate(() => (window.before = window.page.training));
    await page.click('#notice button');
    await page.waitForFunction(() => window.page.training !== window.before);
    await trained(page, 2);
  }));

test('without WebGPU the page says so and shows the recorded curves', () =>
  withPage({ webgpu: false }, async (page) => {
    await inPhase(page, 'no WebGPU');
    assert.match(await page.$eval('#notice', (element) => element.textContent), /no WebGPU adapter/);
    await page.waitForFunction(() => [...document.images].length === 2 && [...document.images].every((image) => image.naturalWidth > 0));
  }));
