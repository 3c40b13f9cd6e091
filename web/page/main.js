// The page: finds a device, trains on it, and follows the visitor's controls.

import init, { Lab, Learn, Settings } from './batchnorm_web.js';
import * as evidence from './evidence.js';
import { Form, defaults, fromHash, small, toHash } from './settings.js';
import { Training } from './training.js';
import { drawViews, listLayers, showFacts } from './views.js';
import { WITHOUT, findAdapter } from './webgpu.js';

const $ = (id) => document.getElementById(id);
// For whoever looks into the page from the console, and for its tests.
const page = (window.page = {
  phase: 'starting', lab: null, training: null, adapter: null, settings: null, memory: null, evidence: null,
  errors: () => [...(page.lab?.errors() ?? []), ...evidence.errors],
});

let form;
let paused = false;

function notice(text, { bad = false, progress = null, action = null } = {}) {
  const parts = [document.createTextNode(text)];
  if (progress) parts.push(Object.assign(document.createElement('progress'), progress));
  if (action) {
    const button = Object.assign(document.createElement('button'), { type: 'button', textContent: action.text });
    button.addEventListener('click', action.run);
    parts.push(document.createTextNode(' '), button);
  }
  $('notice').replaceChildren(...parts);
  $('notice').className = bad ? 'bad' : '';
}

async function bytes(name) {
  const response = await fetch(`data/${name}`);
  if (!response.ok) throw new Error(`data/${name}: ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

async function openLab() {
  const lab = await Lab.open();
  const [recorded, pixels, labels] = await Promise.all(
    ['seed_demo_s0.safetensors', 'digits_images.u8', 'digits_labels.u8'].map(bytes));
  lab.load_recorded(recorded);
  lab.load_digits(pixels, labels);
  page.lab = lab;
  $('fact-adapter').textContent = `${page.adapter.name}${page.adapter.fallback ? ', which runs on the CPU' : ''}`;
  $('fact-profile').textContent = lab.profile().split(';')[0];
}

function native({ learn, depth, width, batch, rate, seed, activation, place, variance }) {
  const kind = { recorded: Learn.Recorded, regression: Learn.Regression, digits: Learn.Digits }[learn];
  return Object.assign(new Settings(), {
    learn: kind, depth, width, batch, rate, seed, sigmoid: activation === 'sigmoid', after: place === 'after', biased: variance === 'biased',
  });
}

// The float64 losses, where the settings are those of the recording but for what it does not depend on.
function recordedLosses(settings) {
  const { variance: _, ...given } = settings;
  const { variance: __, ...recording } = defaults('recorded');
  const same = Object.entries(recording).every(([key, value]) => given[key] === value);
  return same ? [page.lab.recorded_losses(true), page.lab.recorded_losses(false)] : null;
}

// Trains until the next start; one training ends before the next begins.
let last = Promise.resolve();
function start() {
  page.training?.end();
  const settings = (page.settings = form.read());
  history.replaceState(null, '', toHash(settings));
  last = last.then(() => train(settings)).catch(failed);
  return last;
}

async function train(settings) {
  // A later start has replaced this one.
  if (settings !== page.settings) return;
  page.phase = 'compiling';
  const given = native(settings);
  const race = page.lab.race(given);
  given.free();
  const recorded = recordedLosses(settings);
  const training = new Training(race, {
    progress: (value, max) => notice(`Compiling shaders: ${value} of ${max}`, { progress: { value, max } }),
    changed: () => {
      if (page.phase === 'compiling') ready();
      showFacts(training);
      drawViews(training, settings, recorded);
    },
  });
  training.paused = paused;
  const chosen = Math.min(Number($('layer').value) || 0, settings.depth - 1);
  listLayers(settings.depth, chosen);
  training.watch(chosen);
  page.training = training;
  await training.run();
}

function ready() {
  page.phase = 'training';
  notice(page.adapter.fallback ? 'This adapter runs on the CPU: everything is right, but slow. On a GPU the networks can be larger.' : '');
}

function failed(error) {
  const lost = page.lab?.lost();
  if (lost !== undefined) return deviceLost(lost);
  page.phase = 'failed';
  notice(error?.message ?? String(error), { bad: true, action: { text: 'Start again', run: start } });
}

function deviceLost(why) {
  if (page.phase === 'lost') return;
  page.phase = 'lost';
  page.training?.end();
  const again = async () => {
    notice('Opening a new device …');
    try {
      await openLab();
      await start();
    } catch (error) {
      failed(error);
    }
  };
  notice(`The device was lost${why ? `: ${why}` : ''}.`, { bad: true, action: { text: 'Start again', run: again } });
}

// A training that is paused does not notice that its device is gone.
function watchDevice() {
  const why = page.lab?.lost();
  if (why !== undefined && page.phase !== 'lost') deviceLost(why);
}

function setPaused(now) {
  paused = now;
  if (page.training) page.training.paused = now;
  $('pause').textContent = now ? 'Go on' : 'Pause';
  if (page.training) showFacts(page.training);
}

async function gather(work) {
  const before = paused;
  setPaused(true);
  $('check').disabled = $('bench').disabled = true;
  $('evidence-note').textContent = 'Loading …';
  page.evidence = null;
  try {
    page.evidence = await work();
  } catch (error) {
    $('evidence-note').textContent = error?.message ?? String(error);
    page.evidence = { error };
  } finally {
    $('check').disabled = $('bench').disabled = false;
    setPaused(before);
  }
}

function wire() {
  form = new Form($('controls'), (settings, rateOnly) => {
    if (!rateOnly) return start();
    page.settings = Object.assign(page.settings, settings);
    page.training?.setRate(settings.rate);
    history.replaceState(null, '', toHash(settings));
  });
  $('pause').addEventListener('click', () => setPaused(!paused));
  $('step').addEventListener('click', () => {
    setPaused(true);
    page.training?.one();
  });
  $('reset').addEventListener('click', start);
  $('link').addEventListener('click', async () => {
    const text = await navigator.clipboard.writeText(location.href).then(() => 'Copied', () => 'In the address bar');
    $('link').textContent = text;
    setTimeout(() => ($('link').textContent = 'Copy link'), 1500);
  });
  $('layer').addEventListener('change', () => page.training?.watch(Number($('layer').value)));
  $('check').addEventListener('click', () => gather(() => evidence.checkFiles($('plans').value)));
  $('bench').addEventListener('click', () => gather(() => evidence.measureSpeed(page.adapter.fallback ? 2 : 32)));
  window.addEventListener('hashchange', () => {
    const settings = fromHash(location.hash);
    if (!settings) return;
    form.show(settings);
    start();
    // Links to settings stand below.
    $('lab').scrollIntoView();
  });
  window.addEventListener('resize', () => page.training && drawViews(page.training, page.settings, recordedLosses(page.settings)));
  setInterval(watchDevice, 500);
  if (matchMedia('(max-width: 900px)').matches) $('panel').open = false;
}

async function main() {
  page.adapter = await findAdapter();
  if (!page.adapter) {
    page.phase = 'no WebGPU';
    notice(WITHOUT, { bad: true });
    $('without-webgpu').hidden = false;
    return;
  }
  notice('Loading …');
  page.memory = (await init()).memory;
  wire();
  form.show(fromHash(location.hash) ?? (page.adapter.fallback ? small() : defaults('recorded')));
  $('lab').hidden = false;
  await openLab();
  // It goes on for as long as the page is open.
  start();
}

main().catch(failed);
