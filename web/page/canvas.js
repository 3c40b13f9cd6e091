// What all charts share: a canvas as sharp as the screen, colours of the page, axes.

export function begin(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const c = canvas.getContext('2d');
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, width, height);
  c.font = '12px system-ui, sans-serif';
  c.lineJoin = 'round';
  return { c, width, height, colors: colors() };
}

// Read anew each time, since the visitor may switch between light and dark.
function colors() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  return { nets: [of('with'), of('without')], ink: of('ink'), soft: of('soft'), line: of('line'), grid: of('grid') };
}

export const NAMES = ['with batch norm', 'without'];

// Nice steps of a linear axis.
export function ticks(low, high, most = 5) {
  const span = high - low || 1;
  const raw = span / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => span / candidate <= most);
  const all = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step) all.push(Math.abs(v) < step * 1e-9 ? 0 : v);
  return all;
}

// Powers of ten between two logarithms.
export function decades(low, high, most = 6) {
  const every = Math.max(1, Math.ceil((high - low) / most));
  const all = [];
  for (let e = Math.ceil(low); e <= high; e += every) all.push(e);
  return all;
}

// Values to mark on a logarithmic axis: powers of ten and, where these are few, what lies between them.
export function marks(low, high) {
  const powers = decades(low, high).map((e) => 10 ** e);
  if (high - low > 2.5) return powers;
  const all = [];
  for (let e = Math.floor(low); e <= high; e++) all.push(...(high - low > 1.2 ? [1, 3] : [1, 2, 5]).map((digit) => digit * 10 ** e));
  return all.filter((v) => Math.log10(v) >= low && Math.log10(v) <= high);
}

const SUPERSCRIPTS = { '-': '⁻', 0: '⁰', 1: '¹', 2: '²', 3: '³', 4: '⁴', 5: '⁵', 6: '⁶', 7: '⁷', 8: '⁸', 9: '⁹' };
export const power = (e) => (e === 0 ? '1' : e === 1 ? '10' : `10${[...String(e)].map((digit) => SUPERSCRIPTS[digit]).join('')}`);
// A mark as text: powers by exponent, unless they are easier to read as they are.
export const mark = (v) => (v >= 0.001 && v < 1000 ? String(Number(v.toPrecision(1))) : Number.isInteger(Math.log10(v)) ? power(Math.log10(v)) : v.toExponential(0));
export const count = (n) => (n >= 1e6 ? `${+(n / 1e6).toPrecision(3)}M` : n >= 1e4 ? `${+(n / 1e3).toPrecision(3)}k` : String(n));
export const figure = (v) => (!Number.isFinite(v) ? String(v) : v !== 0 && (Math.abs(v) < 1e-2 || Math.abs(v) >= 1e4) ? v.toExponential(2) : v.toPrecision(3));

// A legend in one row: [text, colour, dash].
export function legend(c, entries, right, top, ink) {
  c.textAlign = 'left';
  c.textBaseline = 'middle';
  const widths = entries.map(([text]) => c.measureText(text).width + 38);
  let x = Math.max(8, right - widths.reduce((sum, w) => sum + w, 0));
  for (const [i, [text, color, dash]] of entries.entries()) {
    c.strokeStyle = color;
    c.lineWidth = 2;
    c.setLineDash(dash ?? []);
    c.beginPath();
    c.moveTo(x, top);
    c.lineTo(x + 20, top);
    c.stroke();
    c.setLineDash([]);
    c.fillStyle = ink;
    c.fillText(text, x + 25, top);
    x += widths[i];
  }
}
