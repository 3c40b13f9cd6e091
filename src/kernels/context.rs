//! What layers on one device share.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Poll, Waker};

use wgpu::util::{BufferInitDescriptor, DeviceExt};

use super::arena::{Arena, Range};
use super::pipeline::{Constants, Key, Pipeline, PipelineError};
use super::variant::Variant;
use crate::plan::{DeviceProfile, Grid, Key as WorkKey, Plan, PlanRequest, Wisdom, Work};
use crate::tensor::{Aliasing, Shape};

/// What a [`Context`] may be told beside its device.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct ContextOptions {
    /// What plans are made for, in place of [`DeviceProfile::of`] the device.
    pub profile: Option<DeviceProfile>,
    /// Whether shaders keep wgpu's run-time checks: indices clamped to the buffers, loops counted. The layer does not need
    /// them (it validates every binding, and its plans bound every index and loop), and they cost time. On the web they
    /// are always there.
    pub runtime_checks: bool,
}

impl ContextOptions {
    /// Plans for a device like this.
    pub fn profile(self, profile: DeviceProfile) -> Self {
        Self { profile: Some(profile), ..self }
    }

    /// Keeps wgpu's run-time checks of shaders.
    pub fn runtime_checks(self) -> Self {
        Self { runtime_checks: true, ..self }
    }
}

/// What layers on one device share: the device and its profile; pipelines, each built when a step is first prepared that
/// needs it; scratch memory; and the parameters of dispatches.
///
/// Cheap to clone; clones are the same context. Make one per device.
#[derive(Clone, Debug)]
pub struct Context(Arc<Shared>);

type Slot = Arc<Mutex<Option<Arc<Pipeline>>>>;

#[derive(Debug)]
struct Shared {
    device: wgpu::Device,
    profile: DeviceProfile,
    runtime_checks: bool,
    /// Each behind a lock of its own, so that one that compiles stops only those that wait for it.
    pipelines: Mutex<HashMap<Key, Slot>>,
    saved: Arena,
    scratch: Mutex<Option<wgpu::Buffer>>,
    /// Where a step makes a mask of lengths, which its dispatches read beside scratch that they write.
    mask: Mutex<Option<wgpu::Buffer>>,
    uniforms: Mutex<HashMap<Vec<u8>, Weak<Uniform>>>,
    /// Plans that were measured on this device.
    known: Mutex<HashMap<WorkKey, PlanRequest>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context {
    /// A context on the caller's device, which needs no feature and no limit beyond WebGPU's defaults.
    pub fn new(device: &wgpu::Device) -> Self {
        Self::with_options(device, ContextOptions::default())
    }

    /// A context with other than the default options.
    pub fn with_options(device: &wgpu::Device, options: ContextOptions) -> Self {
        let ContextOptions { profile, runtime_checks } = options;
        Self(Arc::new(Shared {
            device: device.clone(),
            profile: profile.unwrap_or_else(|| DeviceProfile::of(device)),
            runtime_checks,
            pipelines: Mutex::default(),
            saved: Arena::default(),
            scratch: Mutex::default(),
            mask: Mutex::default(),
            uniforms: Mutex::default(),
            known: Mutex::default(),
        }))
    }

    /// The caller's device.
    pub fn device(&self) -> &wgpu::Device {
        &self.0.device
    }

    /// What plans are made for.
    pub fn profile(&self) -> &DeviceProfile {
        &self.0.profile
    }

    /// Plans by what was measured: steps that are prepared from now on, and ask for no plan of their own, take the plans that
    /// the wisdom has of this device and driver. Plans that the context has already of the same shape and work are replaced.
    /// Returns how many plans the wisdom has of this device.
    ///
    /// A plan that does not fit, since limits are others than they were or tensors are in several ranges, counts for nothing:
    /// the step is planned as if there were none.
    pub fn add_wisdom(&self, wisdom: &Wisdom) -> usize {
        let device = Wisdom::device_name(&self.0.device);
        let mut known = lock(&self.0.known);
        let plans = wisdom.of_device(&device).map(|(key, plan)| known.insert(key.clone(), plan));
        plans.count()
    }

    /// The plan that wisdom knows of work on a shape; nothing fixed where it knows none. A step that asks for no plan gets it,
    /// and [`Plan::new`] makes a [`Plan`] of it, to print it or for [`warm_up`](Self::warm_up).
    pub fn request(&self, work: impl Into<Work>, shape: Shape) -> PlanRequest {
        let known = lock(&self.0.known);
        if known.is_empty() {
            return PlanRequest::default();
        }
        let key = WorkKey::new(shape, &work.into());
        key.and_then(|key| known.get(&key).copied()).unwrap_or_default()
    }

    /// Pipelines built so far: a network of many layers needs a handful.
    pub fn pipelines(&self) -> usize {
        // Other pipelines can be asked for while this waits for one that compiles.
        let slots: Vec<Slot> = lock(&self.0.pipelines).values().cloned().collect();
        slots.iter().filter(|slot| lock(slot).is_some()).count()
    }

    /// Builds the pipelines of plans, for layers with a buffer of their own, tensors in buffers of their own and, in backward,
    /// batch statistics; waits for what the device says of them. Others (tensors in place or in one buffer, and the backward
    /// of a frozen layer that learns its weight or bias) are built when a step is first prepared that needs them, since a plan
    /// does not say where tensors lie nor which statistics normalized.
    ///
    /// Without it a pipeline is built when a step is first prepared that needs it, which then takes up to seconds. And on
    /// the web a step is prepared without an error even where the device refuses its pipeline: there, this call alone
    /// tells.
    ///
    /// # Errors
    /// [`PipelineError`], for the first pipeline that the device refuses.
    pub async fn warm_up(&self, plans: &[Plan]) -> Result<(), PipelineError> {
        let keys = plans.iter().flat_map(|plan| {
            plan.stages().iter().map(move |stage| {
                Key::new(
                    Variant::new(plan, stage, true, Aliasing::Disjoint),
                    &stage.grid,
                    Constants::default(),
                )
            })
        });
        for key in keys {
            let slot = self.slot(key);
            if lock(&slot).is_none() {
                self.check(&key)?;
                let (pipeline, error) = self.build(&key);
                match error.await {
                    Some(error) => return Err(error),
                    None => *lock(&slot) = Some(Arc::new(pipeline)),
                }
            }
        }
        Ok(())
    }

    /// Destroys the buffers that the context's steps share, where dropping them would leave their memory to a garbage
    /// collector (in browsers). Steps of the context become invalid.
    pub fn destroy(&self) {
        self.0.saved.destroy();
        for shared in [&self.0.scratch, &self.0.mask] {
            if let Some(buffer) = lock(shared).take() {
                buffer.destroy();
            }
        }
        for (_, uniform) in lock(&self.0.uniforms).drain() {
            if let Some(uniform) = uniform.upgrade() {
                uniform.buffer.destroy();
            }
        }
    }

    /// The pipeline of a shader for workgroups like the grid's. A failure is not kept: the next call tries again.
    pub(crate) fn pipeline(
        &self,
        variant: Variant,
        grid: &Grid,
        constants: Constants,
    ) -> Result<Arc<Pipeline>, PipelineError> {
        let key = Key::new(variant, grid, constants);
        let slot = self.slot(key);
        let mut slot = lock(&slot);
        if let Some(pipeline) = &*slot {
            return Ok(pipeline.clone());
        }
        self.check(&key)?;
        let (pipeline, error) = self.build(&key);
        // On native platforms the answer is there at once; on the web nothing can be known yet.
        match pin!(error).poll(&mut std::task::Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(error)) => Err(error),
            Poll::Ready(None) | Poll::Pending => Ok(slot.insert(Arc::new(pipeline)).clone()),
        }
    }

    fn slot(&self, key: Key) -> Slot {
        lock(&self.0.pipelines).entry(key).or_default().clone()
    }

    /// That the device takes workgroups so large, which wgpu does not check where an override makes them. The context's
    /// profile may be another device's.
    fn check(&self, key: &Key) -> Result<(), PipelineError> {
        let limits = self.0.device.limits();
        let most = limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x);
        if key.workgroup <= most {
            return Ok(());
        }
        let message = format!("its workgroups have {} invocations, the device takes {most}", key.workgroup);
        Err(PipelineError { kernel: key.variant.name(), message })
    }

    fn build(&self, key: &Key) -> (Pipeline, impl Future<Output = Option<PipelineError>> + use<>) {
        let device = &self.0.device;
        let scopes =
            [wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Validation]
                .map(|filter| device.push_error_scope(filter));
        let pipeline = Pipeline::build(device, key, self.0.runtime_checks);
        let [internal, memory, validation] = scopes;
        // The innermost first.
        let errors = (validation.pop(), memory.pop(), internal.pop());
        let kernel = key.variant.name();
        (pipeline, async move {
            let error = errors.0.await.or(errors.1.await).or(errors.2.await);
            error.map(|error| PipelineError { kernel, message: error.to_string() })
        })
    }

    /// Room for what a step saves per feature, its own until it is dropped.
    pub(crate) fn saved(&self, bytes: u64) -> Range {
        self.0.saved.allocate(&self.0.device, u64::from(self.0.profile.alignment).max(4), bytes)
    }

    /// Scratch of at least `bytes` bytes. All steps share it: each writes what it reads, and a queue runs one dispatch
    /// after the other.
    pub(crate) fn scratch(&self, bytes: u64) -> wgpu::Buffer {
        self.shared(&self.0.scratch, bytes)
    }

    /// Room for a mask of at least `bytes` bytes, shared likewise.
    pub(crate) fn mask(&self, bytes: u64) -> wgpu::Buffer {
        self.shared(&self.0.mask, bytes)
    }

    fn shared(&self, scratch: &Mutex<Option<wgpu::Buffer>>, bytes: u64) -> wgpu::Buffer {
        let mut scratch = lock(scratch);
        match &*scratch {
            Some(buffer) if buffer.size() >= bytes => buffer.clone(),
            _ => scratch
                .insert(self.0.device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some("batch norm: scratch"),
                    size: bytes.next_power_of_two().max(1 << 16).min(self.0.profile.max_binding).max(bytes),
                    usage: wgpu::BufferUsages::STORAGE,
                    mapped_at_creation: false,
                }))
                .clone(),
        }
    }

    /// A uniform buffer with these bytes: the same one for all that ask for the same.
    pub(crate) fn uniform(&self, contents: Vec<u8>) -> Arc<Uniform> {
        let mut uniforms = lock(&self.0.uniforms);
        if let Some(uniform) = uniforms.get(&contents).and_then(Weak::upgrade) {
            return uniform;
        }
        uniforms.retain(|_, uniform| uniform.strong_count() > 0);
        let buffer = self.0.device.create_buffer_init(&BufferInitDescriptor {
            label: Some("batch norm: parameters"),
            contents: &contents,
            usage: wgpu::BufferUsages::UNIFORM,
        });
        let uniform = Arc::new(Uniform { buffer, contents: contents.clone() });
        uniforms.insert(contents, Arc::downgrade(&uniform));
        uniform
    }
}

/// Parameters of dispatches, which steps share that have the same.
#[derive(Debug)]
pub(crate) struct Uniform {
    pub buffer: wgpu::Buffer,
    pub contents: Vec<u8>,
}
