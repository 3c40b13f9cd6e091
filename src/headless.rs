//! A convenience for programs without a pipeline of their own: a device, uploads, downloads. The layer needs none of it.

use crate::layer::{ReadError, mapped};
#[cfg(not(target_arch = "wasm32"))]
use crate::{BatchNorm, Tune, TuneError, Tuned};

/// Why there is no device.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum HeadlessError {
    /// No adapter at all.
    #[error(
        "no GPU adapter was found ({0}); install a driver, or Mesa's software one (Debian and Ubuntu: \
         apt-get install mesa-vulkan-drivers libvulkan1; Fedora: dnf install mesa-vulkan-drivers vulkan-loader)"
    )]
    NoAdapter(String),
    /// The adapter accepts work and does none.
    #[error("the only adapter is {0}, of wgpu's noop backend, which computes nothing; install a driver")]
    Noop(String),
    /// The adapter has no device to give.
    #[error("the adapter gave no device: {0}")]
    NoDevice(String),
}

/// A device and its queue; of features, only timestamp queries and float16 in shaders, where there are any.
#[derive(Debug, Clone)]
pub struct Gpu {
    /// The device.
    pub device: wgpu::Device,
    /// Its queue.
    pub queue: wgpu::Queue,
}

/// What is asked for where the adapter has it.
const FEATURES: wgpu::Features = wgpu::Features::TIMESTAMP_QUERY.union(wgpu::Features::SHADER_F16);

const USAGE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC).union(wgpu::BufferUsages::COPY_DST);

impl Gpu {
    /// The machine's high-performance adapter, or what the environment asks for (`WGPU_BACKEND`, `WGPU_ADAPTER_NAME`,
    /// `WGPU_POWER_PREF`), with all the limits it has.
    ///
    /// # Errors
    /// [`HeadlessError`], with the remedy in its message.
    pub async fn request() -> Result<Self, HeadlessError> {
        Self::request_with_limits(|adapter| adapter.limits()).await
    }

    /// The same, with limits to be chosen: `|_| wgpu::Limits::default()` for those every browser grants.
    ///
    /// # Errors
    /// [`HeadlessError`], with the remedy in its message.
    pub async fn request_with_limits(
        limits: impl FnOnce(&wgpu::Adapter) -> wgpu::Limits,
    ) -> Result<Self, HeadlessError> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let adapter = match std::env::var_os("WGPU_ADAPTER_NAME") {
            Some(_) => wgpu::util::initialize_adapter_from_env(&instance, None).await,
            None => {
                let preference = wgpu::PowerPreference::from_env();
                let power_preference = preference.unwrap_or(wgpu::PowerPreference::HighPerformance);
                let options = wgpu::RequestAdapterOptions { power_preference, ..Default::default() };
                instance.request_adapter(&options).await
            }
        }
        .map_err(|error| HeadlessError::NoAdapter(error.to_string()))?;
        let info = adapter.get_info();
        if info.backend == wgpu::Backend::Noop {
            return Err(HeadlessError::Noop(info.name));
        }
        let descriptor = wgpu::DeviceDescriptor {
            required_limits: limits(&adapter),
            required_features: adapter.features() & FEATURES,
            ..Default::default()
        };
        let (device, queue) = adapter
            .request_device(&descriptor)
            .await
            .map_err(|error| HeadlessError::NoDevice(error.to_string()))?;
        Ok(Self { device, queue })
    }

    /// A device that is there already.
    pub fn from_device(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        Self { device, queue }
    }

    /// [`Gpu::request`], waited for.
    ///
    /// # Errors
    /// [`HeadlessError`], with the remedy in its message.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new() -> Result<Self, HeadlessError> {
        pollster::block_on(Self::request())
    }

    /// [`Gpu::request_with_limits`], waited for.
    ///
    /// # Errors
    /// [`HeadlessError`], with the remedy in its message.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn with_limits(limits: impl FnOnce(&wgpu::Adapter) -> wgpu::Limits) -> Result<Self, HeadlessError> {
        pollster::block_on(Self::request_with_limits(limits))
    }

    /// The adapter, its driver and its backend, in one line.
    pub fn describe(&self) -> String {
        let info = self.device.adapter_info();
        format!("{} ({}, {:?})", info.name, info.driver_info, info.backend)
    }

    /// A buffer with these values (`STORAGE`, `COPY_SRC`, `COPY_DST`).
    pub fn upload(&self, values: &[f32]) -> wgpu::Buffer {
        let buffer = self.empty(values.len());
        self.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(values));
        buffer
    }

    /// A buffer for `len` float32, zero (`STORAGE`, `COPY_SRC`, `COPY_DST`).
    pub fn empty(&self, len: usize) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: len as u64 * 4,
            usage: USAGE,
            mapped_at_creation: false,
        })
    }

    /// The values of a buffer, after all work submitted so far. On native platforms it waits for the copy, on the web it
    /// yields to the browser.
    ///
    /// # Errors
    /// [`ReadError`], where the device is lost or out of memory.
    pub async fn read(&self, buffer: &wgpu::Buffer) -> Result<Vec<f32>, ReadError> {
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: buffer.size(),
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, buffer.size());
        let submission = self.queue.submit([encoder.finish()]);
        mapped(&self.device, submission, &staging).await?;
        let bytes = staging.get_mapped_range(..).map_err(|error| ReadError::Device(error.to_string()))?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }

    /// [`Gpu::read`], waited for.
    ///
    /// # Errors
    /// [`ReadError`], where the device is lost or out of memory.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn download(&self, buffer: &wgpu::Buffer) -> Result<Vec<f32>, ReadError> {
        pollster::block_on(self.read(buffer))
    }

    /// [`BatchNorm::tune`] for a layer on this device, waited for: the CPU is left to the device while that works.
    ///
    /// # Errors
    /// [`TuneError`], as there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn tune(&self, layer: &BatchNorm, tune: Tune<'_>) -> Result<Tuned, TuneError> {
        pollster::block_on(layer.tune_waiting(&self.queue, tune))
    }

    /// Records one compute pass, submits it and waits for it (on the web, nothing waits).
    ///
    /// # Errors
    /// [`ReadError`], where the device is lost.
    pub fn run(&self, record: impl FnOnce(&mut wgpu::ComputePass<'_>)) -> Result<(), ReadError> {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        record(&mut encoder.begin_compute_pass(&Default::default()));
        self.queue.submit([encoder.finish()]);
        self.device
            .poll(wgpu::PollType::wait_indefinitely())
            .map_err(|error| ReadError::Device(error.to_string()))?;
        Ok(())
    }
}
