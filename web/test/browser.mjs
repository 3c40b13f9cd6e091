// A headless Chromium on its software adapter, with the built page open. What the page reports as an error fails the test.

import { join } from 'node:path';
import puppeteer from 'puppeteer-core';
import { serve } from '../serve.mjs';

export const OUT = process.env.WEB_OUT ?? join(import.meta.dirname, '../../target/web');
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
// Debian's Chromium offers WebGPU on Linux only so.
const WEBGPU = '--enable-unsafe-webgpu';
const PATIENCE = 120_000;

// Opens the page at this hash, hands it to `use`, and closes everything.
export async function withPage({ hash = '', webgpu = true, width = 1280, height = 900, before = () => {} }, use) {
  const { server, address } = await serve(OUT);
  const browser = await puppeteer.launch({
    executablePath: CHROMIUM,
    headless: true,
    protocolTimeout: 300_000,
    args: ['--no-sandbox', ...(webgpu ? [WEBGPU] : [])],
  });
  const complaints = [];
  try {
    const page = await browser.newPage();
    await page.setViewport({ width, height });
    page.on('pageerror', (error) => complaints.push(`uncaught: ${error.message}`));
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(`console: ${message.text()}`);
    });
    await page.evaluateOnNewDocument(before);
    await page.goto(address + hash);
    await use(page);
    const uncaptured = await page.evaluate(() => window.page.lab?.errors() ?? []);
    complaints.push(...uncaptured.map((error) => `device: ${error}`));
  } finally {
    await browser.close();
    server.close();
  }
  if (complaints.length) throw new Error(complaints.join('\n'));
}

// Waits until the page trained so many steps of its present training.
export const trained = (page, steps) =>
  page.waitForFunction((n) => window.page.phase === 'training' && window.page.training.steps >= n, { timeout: PATIENCE }, steps);

export const inPhase = (page, phase) =>
  page.waitForFunction((wanted) => window.page.phase === wanted, { timeout: PATIENCE }, phase);
