// A curve of any number of values in bounded memory: each point covers `stride` values, with their least, largest and mean.

const MOST = 1024;

export class Curve {
  constructor() {
    this.stride = 1;
    this.length = 0; // values seen
    this.points = [];
  }

  add(value) {
    const inLast = this.length % this.stride;
    if (inLast === 0) {
      if (this.points.length === MOST) this.#halve();
      this.points.push({ low: value, high: value, sum: value, count: 1 });
    } else {
      merge(this.points.at(-1), { low: value, high: value, sum: value, count: 1 });
    }
    this.length++;
    this.last = value;
  }

  // The first value that the point covers, its least and largest value, and the mean.
  *[Symbol.iterator]() {
    for (const [i, { low, high, sum, count }] of this.points.entries()) {
      yield { at: i * this.stride, low, high, mean: sum / count };
    }
  }

  #halve() {
    const half = [];
    for (let i = 0; i < this.points.length; i += 2) {
      const point = this.points[i];
      merge(point, this.points[i + 1]);
      half.push(point);
    }
    this.points = half;
    this.stride *= 2;
  }
}

function merge(into, { low, high, sum, count }) {
  into.low = Math.min(into.low, low);
  into.high = Math.max(into.high, high);
  into.sum += sum;
  into.count += count;
}
