// The settings of both networks: in the form, in the address of the page, and as the kernels take them.

const DEFAULTS = {
  recorded: { depth: 6, width: 128, batch: 512, rate: 0.05, seed: 0, activation: 'relu', place: 'before', variance: 'unbiased' },
  regression: { depth: 6, width: 128, batch: 512, rate: 0.05, seed: 0, activation: 'relu', place: 'before', variance: 'unbiased' },
  digits: { depth: 3, width: 100, batch: 60, rate: 0.5, seed: 0, activation: 'sigmoid', place: 'before', variance: 'unbiased' },
};
// Less to do, for an adapter that runs on the CPU.
const SMALL = { depth: 6, width: 32, batch: 128 };
// What the slider can be set to.
const RATES = [0.001, 0.002, 0.003, 0.005, 0.007, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 2, 3, 5, 10];
const KEYS = ['depth', 'width', 'batch', 'rate', 'seed', 'activation', 'place', 'variance'];

export const defaults = (learn) => ({ learn, ...DEFAULTS[learn] });
export const small = () => ({ ...defaults('regression'), ...SMALL });

// The settings of an address, or null where it has none. What it does not say is the task's default.
export function fromHash(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ''));
  const learn = given.get('learn');
  // Not of the prototype: every object has a `constructor`.
  if (!Object.hasOwn(DEFAULTS, learn)) return null;
  const settings = defaults(learn);
  for (const key of KEYS) {
    if (!given.has(key)) continue;
    settings[key] = typeof settings[key] === 'number' ? Number(given.get(key)) : given.get(key);
  }
  return settings;
}

export const toHash = (settings) => `#${new URLSearchParams(Object.entries(settings))}`;

export class Form {
  #form;
  #changed;

  // `changed(settings, rateOnly)` is called when the visitor changes something.
  constructor(form, changed) {
    this.#form = form;
    this.#changed = changed;
    form.addEventListener('submit', (event) => event.preventDefault());
    form.addEventListener('input', (event) => this.#input(event.target));
    form.addEventListener('change', (event) => this.#change(event.target));
  }

  // Shows settings; what they ask for beyond the form's choices becomes the nearest choice.
  show(settings) {
    for (const [key, value] of Object.entries(settings)) {
      const element = this.#form.elements[key];
      const shown = key === 'rate' ? nearest(RATES.map(Math.log), Math.log(value)) : value;
      if (element.tagName === 'SELECT' && ![...element.options].some((option) => option.value === String(shown))) {
        const numbers = [...element.options].map((option) => Number(option.value));
        if (numbers.some(Number.isNaN) || Number.isNaN(Number(shown))) continue;
        element.value = String(numbers[nearest(numbers, Number(shown))]);
      } else {
        element.value = String(shown);
      }
    }
    this.#label();
  }

  read() {
    const { elements } = this.#form;
    const number = (key) => Number(elements[key].value);
    return {
      learn: elements.learn.value,
      depth: number('depth'),
      width: number('width'),
      batch: number('batch'),
      rate: RATES[number('rate')],
      seed: Math.min(9999, Math.max(0, Math.trunc(number('seed')) || 0)),
      activation: elements.activation.value,
      place: elements.place.value,
      variance: elements.variance.value,
    };
  }

  #input(element) {
    this.#label();
    if (element.name === 'rate') this.#changed(this.read(), true);
  }

  #change(element) {
    if (element.name === 'rate') return;
    if (element.name === 'learn') this.show(defaults(element.value));
    const { learn } = this.#form.elements;
    // Recorded weights are of one size of network.
    if (learn.value === 'recorded' && ['depth', 'width', 'seed'].includes(element.name)) learn.value = 'regression';
    this.#changed(this.read(), false);
  }

  #label() {
    for (const key of ['depth', 'rate']) {
      const element = this.#form.elements[key];
      const text = key === 'rate' ? String(RATES[Number(element.value)]) : element.value;
      element.previousElementSibling.value = text;
      element.setAttribute('aria-valuetext', text);
    }
  }
}

// Which of these numbers is nearest.
const nearest = (numbers, wanted) => numbers.reduce((best, n, i) => (Math.abs(n - wanted) < Math.abs(numbers[best] - wanted) ? i : best), 0);
