// A headless Chromium on its software adapter, with the built page open. What the page reports as an error fails the test.

import { join } from 'node:path';
import { after } from 'node:test';
import puppeteer from 'puppeteer-core';
import { serve } from '../serve.mjs';

export const OUT = process.env.WEB_OUT ?? join(import.meta.dirname, '../../target/web');
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
// Debian's Chromium offers WebGPU on Linux only so.
const WEBGPU = '--enable-unsafe-webgpu';
const PATIENCE = 240_000;
// Networks that compile and train in little time.
export const SMALL = '#learn=regression&depth=1&width=16&batch=16';

// The tests of a file share a server and a browser with WebGPU or without; each has a profile of its own.
const shared = {};
const server = () => (shared.server ??= serve(OUT));
const browser = (webgpu) => (shared[webgpu ? 'with' : 'without'] ??= puppeteer.launch({
  executablePath: CHROMIUM,
  headless: true,
  protocolTimeout: 400_000,
  args: ['--no-sandbox', ...(webgpu ? [WEBGPU] : [])],
}));
after(async () => {
  const { server: serving, ...browsers } = shared;
  await Promise.all(Object.values(browsers).map(async (launched) => (await launched).close()));
  (await serving)?.server.close();
});

// Opens the page at this hash, hands it to `use`, and closes it.
export async function withPage({ hash = '', webgpu = true, width = 1280, height = 900, before = () => {} }, use) {
  const { address } = await server();
  const profile = await (await browser(webgpu)).createBrowserContext();
  const complaints = [];
  try {
    const page = await profile.newPage();
    page.setDefaultTimeout(PATIENCE);
    await page.setViewport({ width, height });
    page.on('pageerror', (error) => complaints.push(`uncaught: ${error.message}`));
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(`console: ${message.text()}`);
    });
    await page.evaluateOnNewDocument(before);
    await page.goto(address + hash);
    await use(page);
    const uncaptured = await page.evaluate(() => window.page.errors());
    complaints.push(...uncaptured.map((error) => `device: ${error}`));
  } finally {
    await profile.close();
  }
  if (complaints.length) throw new Error(complaints.join('\n'));
}

// Waits until the page trained so many steps of its present training.
export const trained = (page, steps) =>
  page.waitForFunction((n) => window.page.phase === 'training' && window.page.training.steps >= n, {}, steps);

export const inPhase = (page, phase) => page.waitForFunction((wanted) => window.page.phase === wanted, {}, phase);

// Presses a button of the evidence, and resolves to what comes of it.
export async function evidence(page, button, timeout) {
  await page.click(button);
  await page.waitForFunction(() => window.page.evidence, { timeout });
  const { error, found } = await page.evaluate(() => ({ error: window.page.evidence.error?.message, found: window.page.evidence }));
  if (error !== undefined) throw new Error(error);
  return found;
}
