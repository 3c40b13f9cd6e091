// Dawn, the WebGPU of Chromium, on a software Vulkan driver.
import { existsSync } from 'node:fs';
import { create, globals } from 'webgpu';

Object.assign(globalThis, globals);

// Chromium's SwiftShader and Debian's lavapipe. SwiftShader first: Dawn refuses the lavapipe of Mesa 22.3, which
// cannot index arrays of images.
const MANIFESTS = [
  '/usr/lib/chromium/vk_swiftshader_icd.json',
  '/usr/share/vulkan/icd.d/lvp_icd.x86_64.json',
];

// A device of the driver that VK_ICD_FILENAMES names, or else of the first of those above that is there.
export async function openDevice() {
  process.env.VK_ICD_FILENAMES ??= MANIFESTS.find((manifest) => existsSync(manifest)) ?? '';
  globalThis.gpu = create(['backend=vulkan']); // kept from the garbage collector: Dawn crashes once this is collected
  const adapter = await gpu.requestAdapter();
  if (!adapter) {
    throw new Error(
      `Dawn has no adapter with VK_ICD_FILENAMES='${process.env.VK_ICD_FILENAMES}'; install Debian's chromium, ` +
        'which brings SwiftShader, or name the manifest of a Vulkan driver that Dawn accepts',
    );
  }
  console.log(`Dawn on ${adapter.info.description}`);
  const requiredFeatures = ['shader-f16'].filter((feature) => adapter.features.has(feature));
  return adapter.requestDevice({ requiredFeatures });
}

// The bits that a value of 32 bits has as the only one of its kind.
const bits = new DataView(new ArrayBuffer(4));

function float32(word) {
  bits.setUint32(0, word);
  return bits.getFloat32(0);
}

// Of a float16: sign, 5 bits of exponent, 10 of mantissa.
function float16(half) {
  const [sign, exponent, mantissa] = [half >> 15, (half >> 10) & 31, half & 1023];
  const magnitude = exponent === 31 ? (mantissa ? NaN : Infinity)
    : exponent === 0 ? mantissa * 2 ** -24 : (1 + mantissa / 1024) * 2 ** (exponent - 15);
  return sign ? -magnitude : magnitude;
}

// What is to be known of a type of values: how they are read from bytes, and the distance of neighbours beside one that
// is finite.
const spacing = (digits, smallest) => (value) =>
  Number.isFinite(value) ? 2 ** (Math.max(Math.floor(Math.log2(Math.abs(value))), smallest) - digits) : 0;
export const STORAGE = {
  float32: { read: (bytes, offset, count) => new Float32Array(bytes, offset, count), spacing: () => 0 },
  float16: {
    read: (bytes, offset, count) => Float64Array.from(new Uint16Array(bytes, offset, count), float16),
    spacing: spacing(10, -14),
  },
  bfloat16: {
    read: (bytes, offset, count) =>
      Float64Array.from(new Uint16Array(bytes, offset, count), (half) => float32(half * 65536)),
    spacing: spacing(7, -126),
  },
};

// A new buffer of at least these bytes, which may begin with contents.
export function makeBuffer(device, size, usage, contents) {
  const buffer = device.createBuffer({ size: Math.ceil(size / 4) * 4, usage });
  if (contents) device.queue.writeBuffer(buffer, 0, contents);
  return buffer;
}

// The bytes of a buffer, after all work submitted so far.
export async function download(device, buffer) {
  const staging = makeBuffer(device, buffer.size, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, buffer.size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const bytes = staging.getMappedRange().slice(0);
  staging.destroy();
  return bytes;
}
