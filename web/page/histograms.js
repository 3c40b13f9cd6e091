// One row per hidden layer, both networks over each other.

import { NAMES, begin, legend } from './canvas.js';

const BINS = 64;
const REACH = 4;
const AREA = { left: 26, right: 10, top: 30, bottom: 26 };

export function drawHistograms(canvas, histograms) {
  const { c, width, height, colors } = begin(canvas);
  legend(c, NAMES.map((name, net) => [name, colors.nets[net]]), width - AREA.right, 12, colors.soft);
  const layers = Math.max(1, ...histograms.map((all) => all.length / BINS));
  const [w, h] = [width - AREA.left - AREA.right, (height - AREA.top - AREA.bottom) / layers];
  const x = (v) => AREA.left + ((v + REACH) / (2 * REACH)) * w;
  c.fillStyle = colors.soft;
  c.textBaseline = 'top';
  for (const v of [-4, -2, 0, 2, 4]) {
    c.textAlign = v === -4 ? 'left' : v === 4 ? 'right' : 'center';
    const text = Math.abs(v) === REACH ? (v < 0 ? '≤ −4' : '≥ 4') : String(v).replace('-', '−');
    c.fillText(text, x(v), height - AREA.bottom + 8);
    c.strokeStyle = colors.grid;
    c.beginPath();
    c.moveTo(x(v), AREA.top);
    c.lineTo(x(v), height - AREA.bottom);
    c.stroke();
  }
  for (let layer = 0; layer < layers; layer++) {
    const base = AREA.top + (layer + 1) * h;
    c.fillStyle = colors.soft;
    c.textAlign = 'right';
    c.textBaseline = 'middle';
    c.fillText(String(layer + 1), AREA.left - 8, base - h / 2);
    c.strokeStyle = colors.line;
    c.beginPath();
    c.moveTo(AREA.left, base);
    c.lineTo(width - AREA.right, base);
    c.stroke();
    for (const [net, all] of histograms.entries()) {
      row(c, all.slice(layer * BINS, (layer + 1) * BINS), colors.nets[net], AREA.left, w, base, h - 3);
    }
  }
}

// The root of the shares, so that a narrow peak leaves room for the rest.
function row(c, shares, color, left, width, base, height) {
  if (!shares.length) return;
  const heights = [...shares].map((share) => Math.sqrt(Math.min(1, share * 2)) * height);
  const at = (bin) => left + (bin / BINS) * width;
  c.beginPath();
  c.moveTo(left, base);
  for (const [bin, up] of heights.entries()) {
    c.lineTo(at(bin), base - up);
    c.lineTo(at(bin + 1), base - up);
  }
  c.lineTo(left + width, base);
  c.fillStyle = c.strokeStyle = color;
  c.globalAlpha = 0.22;
  c.fill();
  c.globalAlpha = 1;
  c.lineWidth = 1.25;
  c.stroke();
}
