// Writes the tables of docs/performance.md from the reports of measured machines (docs/reports/*.json, which
// scripts/kit/measure.sh makes): node scripts/performance.mjs. With --check, fails where they are not up to date.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';

const PAGE = 'docs/performance.md';
const FOLDER = 'docs/reports';
const WORKS = {
  evaluation: 'evaluation',
  training_forward: 'training forward',
  backward: 'backward',
  training_step: 'training step',
};

const reports = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.json'))
  .map((name) => ({ name: name.slice(0, -'.json'.length), ...JSON.parse(readFileSync(`${FOLDER}/${name}`, 'utf8')) }));

const table = (head, rows) =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');

// A tensor as the page writes it.
const tensorName = (name) => name.replace('_last', ', channels last').replaceAll('x', '×');

const milliseconds = (ns) => Number((ns * 1e-6).toPrecision(3)).toString();

const geometricMean = (values) => Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);

// Measurements by id, and the tensors in their order.
function measured({ entries }) {
  const tensors = [...new Set(entries.map(({ id }) => id.split('/')[1]))];
  return { tensors, by: new Map(entries.map((entry) => [entry.id, entry])) };
}

function heading({ name, commit, date, machine, throughput: { about } }) {
  return (
    `### ${about.device}\n\n` +
    `At commit ${commit} on ${date}, ${machine}, ${about.threads} threads, load average ` +
    `${about.load_before.split(' ')[0]} before and ${about.load_after.split(' ')[0]} after: [report](reports/${name}.md).`
  );
}

function besideCopies({ throughput }) {
  const { tensors, by } = measured(throughput);
  const cells = (tensor) => (work) => {
    const { median_ns, spread_ns, times_copy } = by.get(`${work}/${tensor}/gpu`);
    return [`${milliseconds(median_ns)} ± ${milliseconds(spread_ns)}`, times_copy.toFixed(2)];
  };
  const rows = tensors.map((tensor) => [tensorName(tensor), ...Object.keys(WORKS).flatMap(cells(tensor))]);
  return table(['tensor', ...Object.values(WORKS).flatMap((work) => [`${work}, ms`, '× copy'])], rows);
}

// What PyTorch takes on the CPU, divided by what the layer takes.
function besideTorch({ throughput, torch }) {
  if (!torch) return 'PyTorch was not there to be measured beside.';
  const { tensors, by } = measured(throughput);
  const theirs = measured(torch).by;
  const ratio = (work, tensor) =>
    theirs.get(`${work}/${tensor}/torch_cpu`).median_ns / by.get(`${work}/${tensor}/gpu`).median_ns;
  const works = Object.keys(WORKS);
  const rows = tensors.map((tensor) => [tensorName(tensor), ...works.map((work) => ratio(work, tensor).toFixed(2))]);
  const means = works.map((work) => geometricMean(tensors.map((tensor) => ratio(work, tensor))).toFixed(2));
  const { versions, device, threads } = torch.about;
  return (
    `Time of ${versions} (${device}, ${threads} threads) in the same hour, divided by the layer's; above 1 the layer ` +
    `is faster:\n\n${table(['tensor', ...Object.values(WORKS)], [...rows, ['geometric mean', ...means]])}`
  );
}

function regrets() {
  const rows = reports.map(({ commit, regret: { device, geometric_mean, worst } }) => [
    `${device}, ${commit}`,
    ...[...Object.keys(WORKS), 'all'].map((work) => `${geometric_mean[work].toFixed(2)}, ${worst[work].toFixed(2)}`),
  ]);
  return table(['driver, commit', ...Object.values(WORKS), 'all works'], rows);
}

const sections = {
  measured: reports.map((r) => [heading(r), besideCopies(r), besideTorch(r)].join('\n\n')).join('\n\n'),
  regret: regrets(),
};

const before = readFileSync(PAGE, 'utf8');
const after = Object.entries(sections).reduce((page, [name, text]) => {
  const [begin, end] = [`<!-- ${name}: make performance -->`, `<!-- end of ${name} -->`];
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${PAGE} has no '${begin}' before '${end}'`);
  return `${page.slice(0, from + begin.length)}\n\n${text}\n\n${page.slice(to)}`;
}, before);

if (process.argv.includes('--check')) {
  if (after !== before) {
    console.error(`${PAGE} does not show ${FOLDER} as it is: make performance`);
    process.exit(1);
  }
} else {
  writeFileSync(PAGE, after);
}
