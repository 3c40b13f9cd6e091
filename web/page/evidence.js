// The conformance of the kernels in this browser, and their speed.

import { Conformance, PlansOf } from './batchnorm_web.js';
import { figure } from './canvas.js';

const $ = (id) => document.getElementById(id);
const REFERENCE = 'data/reference/';

// Checks all reference files; returns the verdicts, and shows them as they come.
export async function checkFiles(lab, plans) {
  const names = await (await fetch(`${REFERENCE}index.json`)).json();
  const conformance = new Conformance(lab, PlansOf[plans]);
  header(['File', 'Worst tensor', 'Error / allowed']);
  const verdicts = [];
  try {
    for (const name of names) {
      $('evidence-note').textContent = `Checking ${verdicts.length + 1} of ${names.length}: ${name}`;
      const file = new Uint8Array(await (await fetch(REFERENCE + name)).arrayBuffer());
      const verdict = await conformance.check(file);
      const { passed, tensors, worst, error, tolerance } = verdict;
      verdict.free();
      verdicts.push({ name, passed, tensors, worst, error, tolerance });
      row([name, worst, passed ? figure(error / tolerance) : `${figure(error / tolerance)}: wrong`], passed);
    }
  } finally {
    conformance.destroy();
  }
  const right = verdicts.filter((verdict) => verdict.passed).length;
  const tensors = verdicts.reduce((sum, verdict) => sum + verdict.tensors, 0);
  $('evidence-note').textContent = `${right} of ${verdicts.length} files right, ${tensors} tensors compared.`;
  return verdicts;
}

// Measures copy, forward and backward; returns and shows them.
export async function measureSpeed(lab, examples) {
  $('evidence-note').textContent = 'Measuring …';
  header(['Work', 'Time', 'GB/s', 'of copy']);
  const speeds = (await lab.measure(examples)).map((speed) => {
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
