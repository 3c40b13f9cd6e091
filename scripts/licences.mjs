// Lists the licences of all that the library links with, in the versions chosen here, with its default features or with
// those given: node scripts/licences.mjs [FEATURES]. Fails where one of them asks for more than to be named.
import { execFileSync } from 'node:child_process';

const permissive = [
  '0BSD', 'Apache-2.0', 'Apache-2.0 WITH LLVM-exception', 'BSD-2-Clause', 'BSD-3-Clause', 'CC0-1.0', 'ISC', 'MIT',
  'MIT-0', 'Unicode-3.0', 'Unlicense', 'Zlib',
];

const features = process.argv[2] ? ['--features', process.argv[2]] : [];
const cargo = (...args) => execFileSync('cargo', args, { encoding: 'utf8', maxBuffer: 2 ** 28 });
const tree = cargo('tree', '-p', 'wgpu-batchnorm', '-e', 'normal,build', '--target', 'all', '--prefix', 'none',
  '--format', '{p}\t{l}', ...features);

// One choice of an "or" is enough, all parts of an "and" are needed.
const allowed = (licence) =>
  licence.replaceAll('/', ' OR ').replace(/[()]/g, ' ').split(' AND ').every((part) =>
    part.split(' OR ').some((choice) => permissive.includes(choice.trim())));

const packages = new Map();
for (const line of tree.trim().split('\n')) {
  const [name, licence = ''] = line.replace(/ \(\*\)$/, '').split('\t');
  packages.set(name.split(' ').slice(0, 2).join(' '), licence.trim());
}
const byLicence = new Map([...packages.values()].map((licence) => [licence, []]));
for (const [name, licence] of packages) byLicence.get(licence).push(name);
for (const [licence, names] of [...byLicence].sort()) {
  console.log(`${licence || 'no licence stated'} (${names.length}): ${names.sort().join(', ')}`);
}
const others = [...byLicence.keys()].filter((licence) => !allowed(licence));
for (const licence of others) console.error(`not permissive: ${licence}: ${byLicence.get(licence).join(', ')}`);
console.log(`${packages.size} packages, ${others.length} licences that are not permissive`);
process.exit(others.length ? 1 : 0);
