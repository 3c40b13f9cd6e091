// Curves over steps: losses on a logarithmic axis, shares on a linear one.

import { begin, count, legend, mark, marks, ticks } from './canvas.js';

const AREA = { left: 52, right: 14, top: 30, bottom: 28 };

// series: [{ name, net, dash, points: iterable of { at, low, high, mean } }]; to: the last step; log: the kind of axis.
export function drawLines(canvas, { series, to, log, short }) {
  const { c, width, height, colors } = begin(canvas);
  const inner = { w: width - AREA.left - AREA.right, h: height - AREA.top - AREA.bottom };
  const scale = log ? Math.log10 : (v) => v;
  const [low, high] = log ? logRange(series) : [0, 1];
  const x = (at) => AREA.left + (at / Math.max(1, to)) * inner.w;
  const y = (v) => AREA.top + (1 - (Math.min(high, Math.max(low, scale(v))) - low) / (high - low)) * inner.h;

  c.lineWidth = 1;
  c.textBaseline = 'middle';
  c.textAlign = 'right';
  for (const tick of log ? marks(low, high) : ticks(0, 1)) {
    const at = y(tick);
    line(c, colors.grid, AREA.left, at, width - AREA.right, at);
    c.fillStyle = colors.soft;
    c.fillText(log ? mark(tick) : `${Math.round(tick * 100)} %`, AREA.left - 8, at);
  }
  c.textBaseline = 'top';
  for (const tick of ticks(0, Math.max(1, to), width < 500 ? 4 : 8)) {
    c.textAlign = tick === 0 ? 'left' : x(tick) > width - 40 ? 'right' : 'center';
    if (Number.isInteger(tick)) c.fillText(count(tick), x(tick), height - AREA.bottom + 8);
  }
  line(c, colors.line, AREA.left, height - AREA.bottom, width - AREA.right, height - AREA.bottom);

  c.save();
  c.beginPath();
  c.rect(AREA.left, AREA.top - 2, inner.w + 2, inner.h + 4);
  c.clip();
  for (const { points, net, dash, color } of series) {
    const ink = color ?? colors.nets[net];
    const drawn = [...points].filter((point) => Number.isFinite(point.mean));
    if (!dash) band(c, ink, drawn, x, y);
    c.strokeStyle = ink;
    c.lineWidth = dash ? 1.5 : 2;
    c.setLineDash(dash ?? []);
    c.beginPath();
    for (const point of drawn) c.lineTo(x(point.at), y(point.mean));
    c.stroke();
    c.setLineDash([]);
  }
  c.restore();
  const named = series.filter((one) => one.name);
  legend(c, named.map((one) => [short && width < 480 ? one.short ?? one.name : one.name, one.color ?? colors.nets[one.net], one.dash]), width - AREA.right, 12, colors.soft);
}

// From the least to the largest value of each point.
function band(c, ink, points, x, y) {
  c.fillStyle = ink;
  c.globalAlpha = 0.18;
  c.beginPath();
  for (const { at, high } of points) c.lineTo(x(at), y(high));
  for (const { at, low } of points.toReversed?.() ?? [...points].reverse()) c.lineTo(x(at), y(low));
  c.fill();
  c.globalAlpha = 1;
}

// Logarithms that hold all points, at least a decade.
function logRange(series) {
  let [low, high] = [Infinity, -Infinity];
  for (const { points } of series) {
    for (const { mean } of points) {
      if (!(mean > 0) || !Number.isFinite(mean)) continue;
      low = Math.min(low, Math.log10(mean));
      high = Math.max(high, Math.log10(mean));
    }
  }
  if (!Number.isFinite(low)) return [-1, 1];
  const missing = Math.max(0, 1 - (high - low));
  return [Math.max(low - 0.1 - missing / 2, high - 12), high + 0.1 + missing / 2];
}

function line(c, color, x0, y0, x1, y1) {
  c.strokeStyle = color;
  c.lineWidth = 1;
  c.beginPath();
  c.moveTo(x0, Math.round(y0) + 0.5);
  c.lineTo(x1, Math.round(y1) + 0.5);
  c.stroke();
}
