// What the browser says of its adapter.

// Its name and whether it runs on the CPU, or null where there is none.
export async function findAdapter() {
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: 'high-performance' }).catch(() => null);
  if (!adapter) return null;
  const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
  const name = description || [vendor, architecture, device].filter(Boolean).join(' ');
  return { name: name || 'not named by the browser', fallback: Boolean(isFallbackAdapter ?? adapter.isFallbackAdapter) };
}

export const WITHOUT = 'This browser offers no WebGPU adapter. Chrome and Edge have WebGPU from version 113 (Android from 121), '
  + 'Safari from 26, Firefox from 141 on Windows and 145 on Macs with Apple silicon; on Linux it may have to be enabled.';
