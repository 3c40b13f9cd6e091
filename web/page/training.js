// Trains two networks, turn after turn: a turn is one frame's steps, each a submission, and one readback.

import { Curve } from './curve.js';

// Milliseconds that a turn may take, for sixty frames a second to stay.
const TURN = 12;
const MOST_STEPS = 500;
// Milliseconds between two measurements: four times what one takes, but no less and no more than this.
const SOONEST = 250;
const LATEST = 2000;
// Losses that are kept as they are, beside the curve.
const FIRST = 301;

export class Training {
  steps = 0;
  perTurn = 1;
  speed = 0;
  paused = false;
  layer = 0;
  losses = [new Curve(), new Curve()];
  // Of each network with running statistics, and of the normalized one with those of the batch.
  evaluations = { running: [[], []], batch: [] };
  first = [[], []];
  measured = null;

  #race;
  #ended = false;
  #over = false;
  #single = 0;
  #stale = true;
  #nextMeasured = -Infinity;

  constructor(race, { progress, changed }) {
    this.#race = race;
    this.progress = progress;
    this.changed = changed;
    this.plans = race.plans();
  }

  // Resolves when training was ended and its memory is given back. Rejects where the device failed.
  async run() {
    try {
      await this.#race.compile(this.progress);
      while (!this.#ended) {
        await frame();
        const steps = this.#stepsNow();
        if (!this.#ended && (steps > 0 || this.#stale)) await this.#turn(steps);
      }
    } finally {
      this.#over = true;
      this.#race.destroy();
    }
  }

  end() {
    this.#ended = true;
  }

  one() {
    this.paused = true;
    this.#single = 1;
  }

  setRate(rate) {
    if (!this.#over) this.#race.set_rate(rate);
  }

  // Of the hidden layer whose statistics are shown.
  watch(layer) {
    this.layer = layer;
    this.#stale = true;
  }

  #stepsNow() {
    if (!this.paused) return this.perTurn;
    const single = this.#single;
    this.#single = 0;
    return single;
  }

  async #turn(steps) {
    const start = performance.now();
    const measure = this.#stale || this.paused || start > this.#nextMeasured;
    this.#stale = false;
    const turn = await this.#race.turn(steps, measure, this.layer);
    const time = performance.now() - start;
    for (const net of [0, 1]) this.#lossesOf(net, turn.losses(net));
    this.steps += turn.losses(0).length;
    if (turn.measured()) {
      this.#measured(turn);
      this.#nextMeasured = start + time + Math.min(LATEST, Math.max(SOONEST, 4 * time));
    } else if (steps > 0) {
      this.#adapt(steps, time);
    }
    turn.free();
    this.changed(this);
  }

  #lossesOf(net, losses) {
    for (const loss of losses) {
      this.losses[net].add(loss);
      if (this.first[net].length < FIRST) this.first[net].push(loss);
    }
  }

  // Towards as many steps as a turn has time for, at most twice as many as before.
  #adapt(steps, time) {
    const now = (1e3 * steps) / time;
    this.speed = this.speed ? 0.9 * this.speed + 0.1 * now : now;
    const wanted = this.perTurn * Math.min(2, Math.max(0.5, TURN / time));
    this.perTurn = Math.max(1, Math.min(MOST_STEPS, Math.round(wanted)));
  }

  #measured(turn) {
    const of = (method) => [0, 1].map((net) => turn[method](net));
    this.measured = { histograms: of('histograms'), gradients: of('gradients'), statistics: turn.statistics(0) };
    for (const net of [0, 1]) {
      const [loss, share, batchLoss, batchShare] = turn.evaluations(net);
      keep(this.evaluations.running[net], { at: this.steps, loss, share });
      if (net === 0) keep(this.evaluations.batch, { at: this.steps, loss: batchLoss, share: batchShare });
    }
  }
}

// Appends; of too many, every second one goes.
function keep(all, one) {
  all.push(one);
  if (all.length > 800) all.splice(0, all.length, ...all.filter((_, i) => i % 2 === 1));
}

const frame = () => new Promise(requestAnimationFrame);
