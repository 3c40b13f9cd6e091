// A pair of bars per layer, on a logarithmic axis.

import { NAMES, begin, decades, legend, power } from './canvas.js';

const AREA = { left: 44, right: 10, top: 30, bottom: 26 };

export function drawBars(canvas, pair) {
  const { c, width, height, colors } = begin(canvas);
  legend(c, NAMES.map((name, net) => [name, colors.nets[net]]), width - AREA.right, 12, colors.soft);
  const logs = pair.flatMap((norms) => [...norms]).filter((v) => v > 0 && Number.isFinite(v)).map(Math.log10);
  if (!logs.length) return;
  const low = Math.floor(Math.min(...logs)), high = Math.max(low + 1, Math.ceil(Math.max(...logs)));
  const bottom = height - AREA.bottom;
  const y = (log) => AREA.top + ((high - log) / (high - low)) * (bottom - AREA.top);
  c.textBaseline = 'middle';
  c.textAlign = 'right';
  for (const e of decades(low, high)) {
    c.strokeStyle = colors.grid;
    c.beginPath();
    c.moveTo(AREA.left, y(e));
    c.lineTo(width - AREA.right, y(e));
    c.stroke();
    c.fillStyle = colors.soft;
    c.fillText(power(e), AREA.left - 8, y(e));
  }
  const layers = Math.max(...pair.map((norms) => norms.length));
  const slot = (width - AREA.left - AREA.right) / layers;
  const bar = Math.min(26, slot * 0.36);
  c.textBaseline = 'top';
  c.textAlign = 'center';
  for (let layer = 0; layer < layers; layer++) {
    const middle = AREA.left + (layer + 0.5) * slot;
    for (const [net, norms] of pair.entries()) {
      const top = norms[layer] > 0 && Number.isFinite(norms[layer]) ? y(Math.log10(norms[layer])) : bottom;
      c.fillStyle = colors.nets[net];
      c.fillRect(middle + (net - 1) * bar, top, bar - 2, bottom - top);
    }
    c.fillStyle = colors.soft;
    c.fillText(layer + 1 === layers ? 'out' : String(layer + 1), middle, bottom + 8);
  }
}
