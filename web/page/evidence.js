// The conformance of the kernels in this browser, and their speed. A module of its own has them, and is loaded when it is
// asked for.

import { figure } from './canvas.js';

const $ = (id) => document.getElementById(id);
const REFERENCE = 'data/reference/';
// Files that are checked at the same time: the device compiles shaders of one while others wait for what they read.
const AT_ONCE = 4;

// What devices reported of themselves.
export const errors = [];

let loading = null;
async function load() {
  const module = await import('./batchnorm_evidence.js');
  await module.default();
  return module;
}

// Hands the module and a device of its own to `use`, and gives the device back.
export async function withDevice(use) {
  const module = await (loading ??= load());
  const evidence = await module.Evidence.open();
  try {
    return await use(module, evidence);
  } finally {
    errors.push(...evidence.errors());
    evidence.destroy();
    evidence.free();
  }
}

// Checks all reference files on the plans of `plans`; returns the verdicts, and shows them as they come.
export const checkFiles = (plans) => withDevice((module, evidence) => check(new module.Conformance(evidence, module.PlansOf[plans])));

async function check(conformance) {
  const names = await (await fetch(`${REFERENCE}index.json`)).json();
  header(['File', 'Worst tensor', 'Error / allowed']);
  $('evidence-note').textContent = 'Compiling the first shaders …';
  const verdicts = [];
  let failure = null;
  const left = names.values();
  const work = async () => {
    for (const name of left) {
      if (failure) return;
      try {
        verdicts.push(await checkFile(conformance, name));
        $('evidence-note').textContent = `Checked ${verdicts.length} of ${names.length}: ${name}`;
      } catch (error) {
        failure ??= error;
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  conformance.destroy();
  if (failure) throw failure;
  const right = verdicts.filter((verdict) => verdict.passed).length;
  const tensors = verdicts.reduce((sum, verdict) => sum + verdict.tensors, 0);
  $('evidence-note').textContent = `${right} of ${verdicts.length} files right, ${tensors} tensors compared.`;
  return verdicts;
}

async function checkFile(conformance, name) {
  const file = new Uint8Array(await (await fetch(REFERENCE + name)).arrayBuffer());
  const verdict = await conformance.check(file);
  const { passed, tensors, worst, error, tolerance } = verdict;
  verdict.free();
  row([name, worst, passed ? figure(error / tolerance) : `${figure(error / tolerance)}: wrong`], passed);
  return { name, passed, tensors, worst, error, tolerance };
}

// Measures copy, forward and backward on so many examples; returns and shows them.
export const measureSpeed = (examples) => withDevice((_, evidence) => measure(evidence, examples));

async function measure(evidence, examples) {
  $('evidence-note').textContent = 'Measuring …';
  header(['Work', 'Time', 'GB/s', 'of copy']);
  const speeds = (await evidence.measure(examples)).map((speed) => {
    const { work, milliseconds, rate, share } = speed;
    speed.free();
    return { work, milliseconds, rate, share };
  });
  for (const { work, milliseconds, rate, share } of speeds) {
    row([work, `${figure(milliseconds)} ms`, figure(rate), `${Math.round(share * 100)} %`], true);
  }
  $('evidence-note').textContent = `On ${examples} × 64 × 56 × 56 float32, the best of 5 runs.`;
  return speeds;
}

function header(cells) {
  $('evidence').replaceChildren();
  const head = $('evidence').createTHead().insertRow();
  cells.forEach((text, i) => head.append(cell('th', text, i)));
  $('evidence').createTBody();
}

function row(cells, right) {
  const line = $('evidence').tBodies[0].insertRow();
  cells.forEach((text, i) => line.append(cell('td', text, i)));
  line.lastElementChild.classList.add(right ? 'good' : 'bad');
}

function cell(kind, text, i) {
  const element = document.createElement(kind);
  element.textContent = text;
  if (i > 0) element.className = 'number';
  if (kind === 'th') element.scope = 'col';
  return element;
}
