// Which declarations of a variable in a loop this WebGPU gets right: WGSL wants it set anew on each turn, to zero where
// it has no initializer. Prints a table and judges nothing: the shaders of the crate use the declarations that are
// right everywhere, and this tells whether the others still are wrong.
import { download, makeBuffer, openDevice } from './webgpu.mjs';

// Four turns of a loop, each of which adds 1 to `block` and appends the digit to `total`.
const turns = (declaration, step, digit) => `
  for (var i = 0u; i < turns; i++) { ${declaration} ${step} total = total * 10u + ${digit}; }`;

// Two turns of two steps each, as the accumulation of moments once was written.
const nested = (declaration) => `
  var left = turns;
  while left > 0u {
    ${declaration}
    for (var k = 0u; k < 2u && left > 0u; k++) { block = next(block); left--; }
    total = total * 10u + block.a;
  }`;

const CASES = [
  ['var block: u32;', 1111, turns('var block: u32;', 'block += 1u;', 'block')],
  ['var block: vec4<u32>;', 1111, turns('var block: vec4<u32>;', 'block += vec4(1u);', 'block.y')],
  ['var block: array<u32, 4>;', 1111, turns('var block: array<u32, 4>;', 'block[0] += 1u;', 'block[0]')],
  ['var block: Pair; member by member', 1111, turns('var block: Pair;', 'block.a += 1u;', 'block.a')],
  ['var block: Pair; as a whole', 1111, turns('var block: Pair;', 'block = next(block);', 'block.a')],
  ['var block: Pair; around a loop', 22, nested('var block: Pair;')],
  ['var block: Pair; block = Pair();', 22, nested('var block: Pair; block = Pair();')],
  ['var block = Pair();', 22, nested('var block = Pair();')],
];

const source = (body) => `
@group(0) @binding(0) var<storage, read_write> out: array<u32>;
@group(0) @binding(1) var<uniform> turns: u32;

struct Pair {
  a: u32,
  b: vec4<f32>,
}

fn next(pair: Pair) -> Pair {
  return Pair(pair.a + 1u, pair.b + vec4(1.0));
}

@compute @workgroup_size(1)
fn main() {
  var total = 0u;
  ${body}
  out[0] = total;
}`;

async function run(device, body) {
  const module = device.createShaderModule({ code: source(body) });
  const pipeline = device.createComputePipeline({ layout: 'auto', compute: { module, entryPoint: 'main' } });
  const out = makeBuffer(device, 4, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC);
  // No compiler can unroll a loop of a length that it does not know.
  const length = makeBuffer(device, 4, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST, new Uint32Array([4]));
  const entries = [out, length].map((buffer, binding) => ({ binding, resource: { buffer } }));
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(1);
  pass.end();
  device.queue.submit([encoder.finish()]);
  return new Uint32Array(await download(device, out))[0];
}

const device = await openDevice();
const rows = {};
for (const [declaration, want, body] of CASES) {
  const got = await run(device, body);
  rows[declaration] = { want, got, '': got === want ? 'right' : 'WRONG' };
}
console.table(rows);
device.destroy();
process.exit(0);
