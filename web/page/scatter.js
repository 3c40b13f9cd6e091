// Running against batch statistics of each feature of a layer: means, and standard deviations.

import { begin, figure, legend, ticks } from './canvas.js';

const AREA = { left: 48, right: 12, top: 30, bottom: 40 };

// values: mean and variance of the batch, running mean and running variance, one vector after the other.
export function drawScatter(canvas, values) {
  const { c, width, height, colors } = begin(canvas);
  legend(c, [['mean', colors.nets[0]], ['standard deviation', colors.nets[1]]], width - AREA.right, 12, colors.soft);
  const features = values.length / 4;
  const vector = (number) => [...values.slice(number * features, (number + 1) * features)];
  const roots = (variances) => variances.map(Math.sqrt);
  const pairs = [[vector(0), vector(2)], [roots(vector(1)), roots(vector(3))]];
  const all = pairs.flat(2).filter(Number.isFinite);
  if (!all.length) return;
  const margin = (Math.max(...all) - Math.min(...all)) * 0.05 || 1;
  const [low, high] = [Math.min(...all) - margin, Math.max(...all) + margin];
  const right = width - AREA.right, bottom = height - AREA.bottom;
  const x = (v) => AREA.left + ((v - low) / (high - low)) * (right - AREA.left);
  const y = (v) => bottom - ((v - low) / (high - low)) * (bottom - AREA.top);
  c.lineWidth = 1;
  for (const tick of ticks(low, high, 4)) {
    c.strokeStyle = colors.grid;
    c.beginPath();
    c.moveTo(x(tick), AREA.top);
    c.lineTo(x(tick), bottom);
    c.moveTo(AREA.left, y(tick));
    c.lineTo(right, y(tick));
    c.stroke();
    c.fillStyle = colors.soft;
    c.textBaseline = 'top';
    c.textAlign = 'center';
    c.fillText(label(tick), x(tick), bottom + 6);
    c.textBaseline = 'middle';
    c.textAlign = 'right';
    c.fillText(label(tick), AREA.left - 6, y(tick));
  }
  c.strokeStyle = colors.soft;
  c.setLineDash([4, 4]);
  c.beginPath();
  c.moveTo(x(low), y(low));
  c.lineTo(x(high), y(high));
  c.stroke();
  c.setLineDash([]);
  c.textAlign = 'right';
  c.textBaseline = 'bottom';
  c.fillText('of the last batch →', right, height - 4);
  c.textAlign = 'left';
  c.textBaseline = 'top';
  c.fillText('↑ running', AREA.left + 6, AREA.top);
  for (const [kind, [batch, running]] of pairs.entries()) {
    c.fillStyle = colors.nets[kind];
    c.globalAlpha = 0.7;
    for (const [i, v] of batch.entries()) {
      c.beginPath();
      c.arc(x(v), y(running[i]), 3, 0, 2 * Math.PI);
      c.fill();
    }
    c.globalAlpha = 1;
  }
}

const label = (v) => (Number.isInteger(v) ? String(v) : figure(v).replace(/\.?0+$/, '')).replace('-', '−');
