//! A forward step and its backward, to be bound to other tensors with each call.

use wgpu_batchnorm::wgpu::BufferBinding;
use wgpu_batchnorm::{
    Backward, BackwardStep, BatchNorm, Context, DescriptorError, ForwardStep, LayerBuffers, PrepareError,
    Shape, Statistics, StorageType, Training,
};

use crate::options::Options;

/// Float32 that a forward saves for its backward.
pub fn saved_len(features: usize) -> usize {
    6 * features.next_multiple_of(64)
}

/// Why a step could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    #[error(transparent)]
    Layer(#[from] DescriptorError),
    #[error(transparent)]
    Step(#[from] PrepareError),
}

/// What steps are prepared for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    pub shape: Shape,
    pub storage: StorageType,
    pub statistics: Statistics,
    pub options: Options,
}

/// What a forward binds.
pub struct Tensors<'a> {
    pub x: BufferBinding<'a>,
    pub y: BufferBinding<'a>,
    pub saved: BufferBinding<'a>,
    /// gamma, beta, running mean and running variance.
    pub vectors: LayerBuffers<'a>,
}

/// What a backward binds.
pub struct Gradients<'a> {
    pub x: BufferBinding<'a>,
    pub saved: BufferBinding<'a>,
    pub dy: BufferBinding<'a>,
    pub dx: BufferBinding<'a>,
    pub dgamma: BufferBinding<'a>,
    pub dbeta: BufferBinding<'a>,
}

/// A layer, its forward step and, once it is wanted, the backward of that.
pub struct Entry {
    norm: BatchNorm,
    forward: ForwardStep,
    backward: Option<BackwardStep>,
    binds_vectors: bool,
}

impl Entry {
    pub fn new(context: &Context, key: Key, tensors: Tensors<'_>) -> Result<Self, StepError> {
        let descriptor = key.options.descriptor(key.shape.features());
        let norm = BatchNorm::with_buffers(context, &descriptor, tensors.vectors.clone())?;
        let forward = norm.prepare_training(key.shape, training(key, &tensors))?;
        Ok(Self { norm, forward, backward: None, binds_vectors: true })
    }

    /// Of a forward step that is never recorded: it only says what the backward is of.
    pub fn of_backward(
        context: &Context,
        key: Key,
        [x, y, saved]: [BufferBinding<'_>; 3],
    ) -> Result<Self, StepError> {
        let norm = BatchNorm::new(context, &key.options.descriptor(key.shape.features()))?;
        let tensors = Tensors { x, y, saved, vectors: LayerBuffers::new() };
        let forward = norm.prepare_training(key.shape, training(key, &tensors))?;
        Ok(Self { norm, forward, backward: None, binds_vectors: false })
    }

    /// Whether the forward step takes vectors of burn's.
    pub fn binds_vectors(&self) -> bool {
        self.binds_vectors
    }

    pub fn forward(&self) -> &ForwardStep {
        &self.forward
    }

    pub fn rebind(&mut self, key: Key, tensors: Tensors<'_>) -> Result<(), StepError> {
        self.norm.rebind(tensors.vectors.clone())?;
        Ok(self.forward.rebind(&self.norm, training(key, &tensors))?)
    }

    /// The backward on these tensors.
    pub fn backward(&mut self, gradients: Gradients<'_>) -> Result<&BackwardStep, StepError> {
        let Gradients { x, saved, dy, dx, dgamma, dbeta } = gradients;
        let backward = Backward::of(dy)
            .input(x)
            .saved(saved)
            .input_gradient(dx)
            .weight_gradient(dgamma)
            .bias_gradient(dbeta);
        let step = match self.backward.take() {
            None => self.norm.prepare_backward(&self.forward, backward)?,
            Some(mut step) => {
                step.rebind(&self.norm, &self.forward, backward)?;
                step
            }
        };
        Ok(self.backward.insert(step))
    }
}

fn training<'a>(key: Key, tensors: &Tensors<'a>) -> Training<'a> {
    Training::new(tensors.x.clone(), tensors.y.clone())
        .saved(tensors.saved.clone())
        .storage(key.storage)
        .activation(key.options.activation())
        .statistics(key.statistics)
        .update_running(key.statistics == Statistics::Batch)
}
