// What a release says of itself: which packages are published, that they fit each other, that docs/release.md has the
// row of this version, and that CHANGELOG.md has the form of Keep a Changelog 1.1.0. Builds nothing.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';

const faults = [];
const fault = (text) => faults.push(text);

// The workspace, and those beside it.
const manifests = ['.', ...readdirSync('.')].map((folder) => `${folder}/Cargo.toml`).filter((file) => existsSync(file));
const packages = new Map();
for (const file of manifests) {
  const json = execFileSync('cargo', ['metadata', '--no-deps', '--format-version', '1', '--manifest-path', file]);
  for (const entry of JSON.parse(json).packages) packages.set(entry.name, entry);
}
const isPublished = ({ publish }) => publish === null || publish.length > 0;
const published = [...packages.values()].filter(isPublished);
const layer = packages.get('wgpu-batchnorm');
// As a caret requirement distinguishes: 30 of ^30.0.1, 0.22 of ^0.22.1.
const series = (version) => version.match(/^\^?([1-9]\d*|0\.\d+)/)[1];
const minor = (version) => version.split('.').slice(0, 2).join('.');

for (const { name, version, rust_version, readme, license, description, dependencies } of published) {
  console.log(`published: ${name} ${version}, Rust ${rust_version}`);
  for (const [field, value] of Object.entries({ rust_version, readme, license, description })) {
    if (!value) fault(`${name} states no ${field}`);
  }
  for (const dependency of dependencies.filter(({ path, kind }) => path && kind !== 'dev')) {
    const own = packages.get(dependency.name);
    if (!isPublished(own)) fault(`${name} depends on ${own.name}, which is not published`);
    if (dependency.req === '*' || series(dependency.req) !== series(own.version)) {
      fault(`${name} must depend on ${own.name} ${series(own.version)}, not ${dependency.req}`);
    }
  }
}
const others = [...packages.values()].filter((entry) => !isPublished(entry));
console.log(`not published: ${others.map(({ name }) => name).join(', ')}`);

const required = (dependency) => {
  const all = [...packages.values()].flatMap(({ dependencies }) => dependencies);
  const found = new Set(all.filter(({ name, kind }) => name === dependency && kind !== 'dev').map(({ req }) => series(req)));
  if (found.size !== 1) fault(`packages must agree on ${dependency}, they require ${[...found].join(' and ') || 'none'}`);
  return [...found][0];
};
const cells = [series(layer.version), required('wgpu'), required('burn'), required('mpi'), minor(layer.rust_version)];
const row = `| ${cells.join(' | ')} |`;
if (!readFileSync('docs/release.md', 'utf8').includes(`\n${row}\n`)) fault(`docs/release.md lacks the row ${row}`);

const kinds = ['Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security'];
const versions = [];
let seen = new Set();
for (const line of readFileSync('CHANGELOG.md', 'utf8').split('\n')) {
  const [, version] = line.match(/^## (.*)/) ?? [];
  const [, kind] = line.match(/^### (.*)/) ?? [];
  if (version) {
    versions.push(version);
    seen = new Set();
    const form = /^(\[Unreleased\]|\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2})$/;
    if (!form.test(version)) fault(`CHANGELOG.md: "${version}" must be [Unreleased] or [1.2.3] - 2026-12-31`);
  }
  if (kind) {
    if (!kinds.includes(kind)) fault(`CHANGELOG.md: "${kind}" must be one of ${kinds.join(', ')}`);
    if (seen.has(kind)) fault(`CHANGELOG.md: ${versions.at(-1)} has ${kind} twice`);
    seen.add(kind);
  }
}
const current = versions[0] ?? '';
if (current !== '[Unreleased]' && !current.startsWith(`[${layer.version}]`)) {
  fault(`CHANGELOG.md must begin with [Unreleased] or [${layer.version}], it does with ${current}`);
}

faults.forEach((text) => console.error(text));
console.log(`${faults.length} faults`);
process.exit(faults.length ? 1 : 0);
