//! Both networks in training.

use std::cell::Cell;
use std::rc::Rc;

use anyhow::Result;
use batchnorm_experiments::gpu::Gpu;
use batchnorm_experiments::kernels::BINS;
use batchnorm_experiments::tensor::Tensor;
use batchnorm_web_device::{idle, said};
use wasm_bindgen::prelude::*;

use crate::network::{Net, RING};
use crate::readback::Readback;
use crate::settings::Settings;
use crate::task::Task;
use crate::turn::{Seen, Turn};

/// Two networks of the same initial weights that learn the same examples. Destroy it when it is not needed any more.
#[wasm_bindgen]
pub struct Race {
    gpu: Gpu,
    nets: [Net; 2],
    readback: Readback,
    rate: Cell<f32>,
    done: Cell<u32>,
    /// Steps whose losses were read.
    read: Cell<u32>,
    evaluated: u32,
    compiled: Rc<Cell<usize>>,
}

impl Race {
    /// `compiled` is how many of the context's pipelines have run.
    pub fn new(gpu: &Gpu, task: &Task<'_>, settings: &Settings, compiled: Rc<Cell<usize>>) -> Result<Self> {
        let net = |normalized| Net::new(gpu, task, settings, normalized);
        Ok(Self {
            gpu: gpu.clone(),
            nets: [net(true)?, net(false)?],
            readback: Readback::default(),
            rate: Cell::new(settings.rate),
            done: Cell::new(0),
            read: Cell::new(0),
            evaluated: task.evaluated(),
            compiled,
        })
    }

    /// The first step and a measurement, piece by piece, each waited for: a browser compiles a pipeline when it is first
    /// used.
    async fn run_pieces(&self, progress: &js_sys::Function) {
        let gpu = &self.gpu;
        let total = self.nets.iter().map(|net| net.works().count() + 1).sum::<usize>();
        let mut finished = 0;
        let mut report = || {
            finished += 1;
            // What the page makes of it is its own matter.
            let _ = progress.call2(&JsValue::NULL, &finished.into(), &total.into());
        };
        for net in &self.nets {
            net.set(gpu, 0, self.rate.get());
            gpu.submit(|encoder| net.feed(encoder, 0));
            for work in net.works() {
                gpu.submit(|encoder| work.record(&mut encoder.begin_compute_pass(&Default::default())));
                idle(&gpu.queue).await;
                report();
            }
            gpu.submit(|encoder| net.measure(gpu, encoder));
            idle(&gpu.queue).await;
            report();
        }
        self.done.set(1);
    }

    /// One submission.
    fn step(&self, number: u32) {
        let gpu = &self.gpu;
        self.nets.iter().for_each(|net| net.set(gpu, number, self.rate.get()));
        gpu.submit(|encoder| {
            self.nets.iter().for_each(|net| net.feed(encoder, number));
            let mut pass = encoder.begin_compute_pass(&Default::default());
            self.nets.iter().flat_map(Net::works).for_each(|work| work.record(&mut pass));
        });
    }

    async fn read(&self, first: u32, measure: bool, layer: usize) -> Result<Turn> {
        let mut sources: Vec<Tensor> = self.nets.iter().map(|net| net.train.losses.clone()).collect();
        if measure {
            for net in &self.nets {
                sources.extend([net.views.histograms.clone(), net.views.gradients.clone()]);
                sources.extend(net.evaluated());
                sources.extend(net.statistics(layer));
            }
        }
        let measuring = |encoder: &mut _| {
            if measure {
                self.nets.iter().for_each(|net| net.measure(&self.gpu, encoder));
            }
        };
        let mut words = self.readback.read(&self.gpu, &sources, measuring).await?.into_iter();
        let mut next = || words.next().expect("a part for each source");
        let losses = [next(), next()].map(|ring| {
            let at = |number: u32| f32::from_bits(ring[(number % RING) as usize]);
            (first..self.done.get()).map(at).collect()
        });
        let seen = measure.then(|| [0, 1].map(|net| self.seen(&self.nets[net], layer, &mut next)));
        Ok(Turn { losses, seen })
    }

    fn seen(&self, net: &Net, layer: usize, mut next: impl FnMut() -> Vec<u32>) -> Seen {
        let floats = |words: &[u32]| words.iter().map(|&word| f32::from_bits(word)).collect::<Vec<_>>();
        let histograms = next();
        let share = |counts: &[u32]| {
            let all = counts.iter().sum::<u32>().max(1) as f32;
            counts.iter().map(|&count| count as f32 / all).collect::<Vec<_>>()
        };
        let gradients = floats(&next()).into_iter().map(f32::sqrt).collect();
        let mut evaluations = vec![];
        for _ in 0..net.evaluated().len() / 2 {
            evaluations.extend(floats(&next()));
            evaluations.push(next()[0] as f32 / self.evaluated as f32);
        }
        let mut statistics = vec![];
        if !net.statistics(layer).is_empty() {
            let (moments, mean, variance) = (floats(&next()), floats(&next()), floats(&next()));
            let vector = |number: usize| &moments[number * net.stride()..][..mean.len()];
            statistics.extend_from_slice(vector(1));
            // A record has a sixteenth of it.
            statistics.extend(vector(3).iter().map(|sixteenth| 16.0 * sixteenth));
            statistics.extend([mean, variance].concat());
        }
        let histograms = histograms.chunks(BINS as usize).flat_map(share).collect();
        Seen { evaluations, histograms, gradients, statistics }
    }
}

#[wasm_bindgen]
impl Race {
    /// Takes the first step; where that compiles shaders it calls `progress(pieces done, pieces in all)`.
    pub async fn compile(&self, progress: js_sys::Function) {
        let prepared = self.gpu.context.pipelines();
        if self.compiled.replace(prepared) < prepared {
            self.run_pieces(&progress).await;
        } else {
            self.step(0);
            self.done.set(1);
        }
    }

    /// Takes so many steps, at most 1,000; measures, where that is asked for, after the last. `layer` is the one whose
    /// statistics are read.
    pub async fn turn(&self, steps: u32, measure: bool, layer: usize) -> Result<Turn, JsError> {
        let end = self.done.get() + steps.min(RING - 24);
        (self.done.get()..end).for_each(|number| self.step(number));
        self.done.set(end);
        // The step that compiled is part of the first turn.
        let first = self.read.replace(end);
        self.read(first, measure, layer).await.map_err(said)
    }

    pub fn set_rate(&self, rate: f32) {
        self.rate.set(rate);
    }

    /// How the first normalization is done, forward and backward, in words.
    pub fn plans(&self) -> Vec<String> {
        let plans = self.nets[0].train.plans();
        [plans.first(), plans.last()].into_iter().flatten().map(|plan| plan.to_string()).collect()
    }

    /// Gives all memory back at once.
    pub fn destroy(self) {
        self.readback.destroy();
        self.nets.into_iter().for_each(Net::destroy);
    }
}
