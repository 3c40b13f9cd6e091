// Compares the rust-version in Cargo.toml with those of the library's dependencies, in the versions chosen here, over
// all features and platforms. Development dependencies are left out: they are no part of the library.
import { execFileSync } from 'node:child_process';

const metadata = JSON.parse(
  execFileSync('cargo', ['metadata', '--format-version', '1', '--all-features'], { maxBuffer: 2 ** 28 }),
);
const packages = new Map(metadata.packages.map((entry) => [entry.id, entry]));
const nodes = new Map(metadata.resolve.nodes.map((entry) => [entry.id, entry]));

const newer = (a, b) => a.localeCompare(b, 'en', { numeric: true }) > 0;
const minor = (version) => version.split('.').slice(0, 2).join('.');

const library = packages.get(metadata.resolve.root);
if (!library.rust_version) throw new Error('Cargo.toml states no rust-version');

const seen = new Set();
const visit = (id) => {
  if (seen.has(id)) return;
  seen.add(id);
  for (const { pkg, dep_kinds } of nodes.get(id).deps) {
    if (dep_kinds.some(({ kind }) => kind !== 'dev')) visit(pkg);
  }
};
visit(library.id);

const stated = [...seen].map((id) => packages.get(id)).filter((entry) => entry.rust_version);
const tooNew = stated.filter((entry) => newer(minor(entry.rust_version), minor(library.rust_version)));
for (const { name, version, rust_version } of tooNew) {
  console.error(`${name} ${version} needs Rust ${rust_version}, but Cargo.toml promises ${library.rust_version}`);
}
console.log(`Rust ${library.rust_version}: ${seen.size - 1} dependencies, ${tooNew.length} of them need a newer one`);
process.exit(tooNew.length ? 1 : 0);
