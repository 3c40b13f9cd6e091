// Builds the page into TARGET/web, for make web: node web/build.mjs TARGET. It needs a compiler for wasm32-unknown-unknown
// (rustup's, or what RUSTC names), the program of bindgen/ in TARGET, and what package.json lists.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const here = dirname(fileURLToPath(import.meta.url));
const root = dirname(here);
const target = resolve(process.argv[2] ?? join(root, 'target'));
const out = join(target, 'web');
// The page, and what it loads when it is asked for: at most so many bytes of each .wasm, gzipped.
const MODULES = { 'batchnorm-web': 250_000, 'batchnorm-evidence': 280_000 };
// What every browser with WebGPU has.
const FEATURES = ['bulk-memory', 'multivalue', 'mutable-globals', 'nontrapping-float-to-int', 'reference-types', 'sign-ext'].map((name) => `--enable-${name}`);

const run = (program, ...args) => execFileSync(program, args, { stdio: 'inherit' });
const packages = Object.keys(MODULES).flatMap((name) => ['--package', name]);
run('cargo', 'build', '--manifest-path', join(here, 'Cargo.toml'), '--target-dir', target, '--target', 'wasm32-unknown-unknown', '--release', ...packages);

rmSync(out, { recursive: true, force: true });
mkdirSync(join(out, 'data'), { recursive: true });
const sizes = Object.entries(MODULES).map(([name, most]) => {
  const file = name.replaceAll('-', '_');
  run(join(target, 'debug/bindgen'), join(target, `wasm32-unknown-unknown/release/${file}.wasm`), out);
  const wasm = join(out, `${file}_bg.wasm`);
  run(join(here, 'node_modules/.bin/wasm-opt'), '-Oz', ...FEATURES, '--strip-debug', '--strip-producers', wasm, '-o', wasm);
  const bytes = readFileSync(wasm);
  return { name, most, bytes: bytes.length, gzipped: gzipSync(bytes, { level: 9 }).length };
});

cpSync(join(here, 'page'), out, { recursive: true });
cpSync(join(root, 'docs/pictures'), join(out, 'pictures'), { recursive: true });
for (const name of ['seed_demo_s0.safetensors', 'digits_images.u8', 'digits_labels.u8']) {
  cpSync(join(root, 'examples/data', name), join(out, 'data', name));
}
const references = readdirSync(join(root, 'tests/data'), { recursive: true }).filter((name) => name.endsWith('.safetensors')).sort();
for (const name of references) cpSync(join(root, 'tests/data', name), join(out, 'data/reference', name));
writeFileSync(join(out, 'data/reference/index.json'), JSON.stringify(references));

console.log(`${out}: ${references.length} reference files`);
for (const { name, bytes, gzipped } of sizes) console.log(`${name}: ${bytes} bytes, ${gzipped} gzipped`);
// Growth is to be noticed.
for (const { name, most, gzipped } of sizes) {
  if (gzipped > most) throw new Error(`${name} has ${gzipped} bytes gzipped, at most ${most} are wanted`);
}
