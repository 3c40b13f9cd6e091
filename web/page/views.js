// What the page shows of a training.

import { drawBars } from './bars.js';
import { NAMES, figure } from './canvas.js';
import { drawHistograms } from './histograms.js';
import { drawLines } from './lines.js';
import { drawScatter } from './scatter.js';

const $ = (id) => document.getElementById(id);
const DASH = [5, 4];

export function showFacts(training) {
  $('fact-step').textContent = `${training.steps.toLocaleString('en')}, ${training.perTurn} per turn`;
  $('fact-speed').textContent = training.paused ? 'paused' : training.speed ? `${training.speed.toFixed(training.speed < 20 ? 1 : 0)} steps/s of both` : '–';
  const [forward, backward] = training.plans;
  $('fact-forward').textContent = forward ?? '–';
  $('fact-backward').textContent = backward ?? '–';
}

// `recorded`: the float64 losses of both networks, where the settings are those of the recording.
export function drawViews(training, settings, recorded) {
  drawLoss(training, recorded);
  drawEvaluation(training, settings);
  const { measured } = training;
  if (!measured) return;
  drawHistograms($('histograms'), measured.histograms);
  drawBars($('gradients'), measured.gradients);
  drawScatter($('statistics'), measured.statistics);
}

function drawLoss(training, recorded) {
  const series = training.losses.map((points, net) => ({ name: NAMES[net], net, points }));
  const past = (recorded ?? []).map((losses, net) => ({
    name: net === 0 ? 'recorded in float64' : null,
    short: 'recorded',
    net,
    dash: DASH,
    points: [...losses].map((mean, at) => ({ at, mean, low: mean, high: mean })).filter(({ at }) => at <= training.steps),
  }));
  drawLines($('loss'), { series: [...series, ...past], to: Math.max(training.steps - 1, 20), log: true, short: true });
  const [one, other] = training.losses.map(({ last }) => (last === undefined ? '–' : figure(last)));
  say('loss', 'loss-note', `Now ${one} with batch norm, ${other} without; a band spans the values that share a point.`);
}

function drawEvaluation(training, { learn }) {
  const digits = learn === 'digits';
  const key = digits ? 'share' : 'loss';
  const { running, batch } = training.evaluations;
  const points = (all) => all.map((one) => ({ at: one.at, mean: one[key], low: one[key], high: one[key] }));
  const series = [
    { name: 'running statistics', short: 'running', net: 0, points: points(running[0]) },
    { name: 'batch statistics (eval() forgotten)', short: 'eval() forgotten', net: 0, dash: DASH, points: points(batch) },
    { name: 'without', net: 1, points: points(running[1]) },
  ];
  $('evaluation-title').textContent = digits ? 'Accuracy on 360 test images' : 'Evaluation loss on all 512 examples';
  drawLines($('evaluation'), { series, to: Math.max(training.steps, 20), log: !digits, short: true });
  const now = (all) => (all.length ? (digits ? `${(100 * all.at(-1).share).toFixed(1)} %` : figure(all.at(-1).loss)) : '–');
  say('evaluation', 'evaluation-note', `Now ${now(running[0])} with running statistics, ${now(batch)} with those of the batch, ${now(running[1])} without.`);
}

// The words beside a chart are also what it says to those who do not see it.
function say(canvas, note, text) {
  if ($(note).textContent === text) return;
  $(note).textContent = text;
  $(canvas).setAttribute('aria-label', text);
}

export function listLayers(depth, chosen) {
  const options = Array.from({ length: depth }, (_, i) => new Option(`${i + 1} of ${depth}`, String(i), false, i === chosen));
  $('layer').replaceChildren(...options);
}
