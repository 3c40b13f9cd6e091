//! Prepared steps of an ask: run, and held against the twin.

use wgpu_batchnorm::{BackwardStep, BatchNorm, Context, DispatchDescription, ForwardStep, PrepareError};

use super::tensors::Tensors;
use super::truth::{Data, Truth};
use super::{Ask, Batch, parts};
use crate::close::{assert_close, assert_state, assert_stored, max_abs};
use crate::elsewhere::Recorded;
use crate::gpu::{context, gpu};
use crate::layer::{layer_in, read_state};
use crate::scales::{BACKWARD, FORWARD};

/// The layer, its tensors, and the steps.
pub struct Asked {
    pub ask: Ask,
    pub norm: BatchNorm,
    steps: Steps,
    tensors: Tensors,
    data: Data,
}

enum Steps {
    Whole(Box<(ForwardStep, BackwardStep)>),
    Parts(Vec<Box<dyn Recorded>>),
}

/// What came out.
pub struct Got {
    pub y: Vec<f32>,
    pub dx: Vec<f32>,
    pub dz: Vec<f32>,
    pub dweight: Vec<f32>,
    pub dbias: Vec<f32>,
}

impl Asked {
    #[track_caller]
    pub fn new(ask: Ask) -> Self {
        Self::new_in(context(), ask).unwrap_or_else(|error| panic!("{ask:?}: {error}"))
    }

    pub fn new_in(context: &Context, ask: Ask) -> Result<Self, PrepareError> {
        Self::of(context, ask, Data::new(&ask))
    }

    fn of(context: &Context, ask: Ask, data: Data) -> Result<Self, PrepareError> {
        let norm = layer_in(context, &ask.descriptor(), &ask.state());
        let tensors = Tensors::new(&ask, &data, [norm.moments_bytes(), norm.gradient_sums_bytes()]);
        let steps = match ask.batch {
            Batch::Parts => Steps::Parts(parts::prepare(&ask, &norm, &tensors)?),
            _ => {
                let forward = match ask.is_evaluation() {
                    true => norm.prepare_evaluation(
                        ask.shape,
                        ask.evaluation(&tensors, 0, |which| tensors.all(which)).plan(ask.plan),
                    )?,
                    false => norm.prepare_training(ask.shape, ask.training(&tensors))?,
                };
                let backward = norm.prepare_backward(&forward, ask.backward(&tensors))?;
                Steps::Whole(Box::new((forward, backward)))
            }
        };
        Ok(Self { ask, norm, steps, tensors, data })
    }

    /// The steps of a batch that is not in parts.
    #[track_caller]
    fn whole(&self) -> &(ForwardStep, BackwardStep) {
        match &self.steps {
            Steps::Whole(steps) => steps,
            Steps::Parts(_) => panic!("{:?} has no step of the whole batch", self.ask),
        }
    }

    #[track_caller]
    pub fn forward(&self) -> &ForwardStep {
        &self.whole().0
    }

    #[track_caller]
    pub fn backward(&self) -> &BackwardStep {
        &self.whole().1
    }

    /// x, z and dy.
    pub fn inputs(&self) -> (&[f32], &[f32], &[f32]) {
        (&self.data.x, &self.data.z, &self.data.dy)
    }

    /// The same steps on other buffers with the same values, and the layer as it was before.
    pub fn rebind(&mut self) {
        self.norm.set_state(&gpu().queue, &self.ask.state()).unwrap();
        let records = [self.norm.moments_bytes(), self.norm.gradient_sums_bytes()];
        let other = Tensors::new(&self.ask, &self.data, records);
        let Steps::Whole(steps) = &mut self.steps else { panic!("{:?} has no step to rebind", self.ask) };
        let (forward, backward) = &mut **steps;
        match self.ask.is_evaluation() {
            true => {
                forward.rebind(&self.norm, self.ask.evaluation(&other, 0, |which| other.all(which))).unwrap()
            }
            false => forward.rebind(&self.norm, self.ask.training(&other)).unwrap(),
        }
        backward.rebind(&self.norm, forward, self.ask.backward(&other)).unwrap();
        self.tensors = other;
    }

    /// In the order that they are recorded in.
    fn steps(&self) -> Vec<&dyn Recorded> {
        match &self.steps {
            Steps::Whole(steps) => vec![&steps.0, &steps.1],
            Steps::Parts(steps) => steps.iter().map(|step| &**step).collect(),
        }
    }

    /// What [`run`](Self::run) runs, as data.
    pub fn dispatches(&self) -> Vec<DispatchDescription> {
        self.steps().into_iter().flat_map(Recorded::dispatches).collect()
    }

    pub fn run(&self) -> Got {
        self.submit();
        self.read()
    }

    fn submit(&self) {
        gpu().run(|pass| self.steps().into_iter().for_each(|step| step.record(pass))).unwrap();
    }

    fn read(&self) -> Got {
        self.tensors.read(&format!("{:?}", self.ask), &self.ask)
    }

    /// Runs both steps and holds everything against the twin, by the rule of [`crate::scales`]. What is left of a result
    /// may be next to nothing beside its terms: dx of two values cancels, and ReLU keeps small y only. Exact results have
    /// no error, but for running statistics.
    #[track_caller]
    pub fn check(&self) {
        self.submit();
        self.check_done();
    }

    /// The same of steps that were run.
    #[track_caller]
    pub fn check_done(&self) {
        let Self { ask, data, .. } = self;
        let what = match &self.steps {
            Steps::Whole(steps) => format!("{ask:?}, {}, {}", steps.0.plan(), steps.1.plan()),
            Steps::Parts(_) => format!("{ask:?}"),
        };
        let (got, truth, storage) = (self.read(), Truth::of(ask, data), ask.storage);
        let [forward, backward] = if ask.exact { [0.0; 2] } else { [FORWARD, BACKWARD] };
        assert_stored(&format!("{what}: y"), storage, &got.y, &truth.y, |i| truth.y_scale[i], forward);
        if ask.wanted.dx {
            let scale = |i: usize| truth.dx_scale[i];
            assert_stored(&format!("{what}: dx"), storage, &got.dx, &truth.dx, scale, backward);
        }
        if ask.wanted.dz {
            let largest = max_abs(&truth.dz).max(truth.largest_term);
            assert_stored(&format!("{what}: dz"), storage, &got.dz, &truth.dz, |_| largest, backward);
        }
        if ask.wanted.learns {
            let scale = |c: usize| truth.dweight_scale[c];
            assert_close(&format!("{what}: dweight"), &got.dweight, &truth.dweight, scale, backward);
            let scale = |c: usize| truth.dbias_scale[c];
            assert_close(&format!("{what}: dbias"), &got.dbias, &truth.dbias, scale, backward);
        }
        let layer = truth.layer.expect("the twin has a layer");
        assert_state(&what, &read_state(&self.norm), &layer, FORWARD);
        let skipped = pollster::block_on(self.norm.read_skipped(&gpu().queue)).unwrap();
        assert_eq!(skipped, truth.skipped, "{what}: skipped");
    }
}
