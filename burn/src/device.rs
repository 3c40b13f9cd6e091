//! The wgpu devices that burn and the layer share.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, RwLock};

use burn::backend::DispatchDevice;
use burn::tensor::Device;
use burn::tensor::wgpu::{WgpuInitError, WgpuOptions, WgpuSetup};
use burn_cubecl::CubeDevice;
use wgpu_batchnorm::{Context, Step, wgpu};

use crate::steps::Steps;

/// Why burn's device cannot be shared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShareError {
    /// The device is another backend's.
    #[error("the device must be one of burn's wgpu backend, given {given}")]
    NotWgpu {
        /// The device.
        given: String,
    },
}

/// What the layers of a device share.
pub(crate) struct Shared {
    pub context: Context,
    queue: wgpu::Queue,
    steps: Mutex<Steps>,
}

static DEVICES: LazyLock<RwLock<HashMap<CubeDevice, Arc<Shared>>>> = LazyLock::new(RwLock::default);

/// Starts burn on a wgpu device and [shares](share) it: `init(Device::wgpu_options())` for the default one.
///
/// # Errors
/// [`WgpuInitError`], also where burn has started that device before: use [`share`] then.
pub fn init(options: WgpuOptions) -> Result<Device, WgpuInitError> {
    let (device, setup) = options.init_with_setup()?;
    share(&device, &setup).expect("WgpuOptions start devices of wgpu");
    Ok(device)
}

/// Lets the layers of this crate work on burn's device, whose handles `setup` has: those of
/// `WgpuOptions::init_with_setup`, or those that the device was made of by `WgpuOptions::setup`. burn gives them out when
/// it starts a device and never again, so each device must be shared once, before its first layer runs.
///
/// # Errors
/// [`ShareError`], where the device is not one of wgpu.
pub fn share(device: &Device, setup: &WgpuSetup) -> Result<(), ShareError> {
    let key = wgpu_device(device).ok_or_else(|| ShareError::NotWgpu { given: format!("{device:?}") })?;
    let shared =
        Shared { context: Context::new(&setup.device), queue: setup.queue.clone(), steps: Mutex::default() };
    DEVICES.write().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::new(shared));
    Ok(())
}

/// burn's name of the device under autodiff.
fn wgpu_device(device: &Device) -> Option<CubeDevice> {
    match device.clone().inner().as_dispatch() {
        DispatchDevice::Cube(device @ CubeDevice::Wgpu(_)) => Some(device.clone()),
        #[allow(unreachable_patterns)] // By the backends that burn was built with.
        _ => None,
    }
}

/// Panics where the device is not shared, before burn makes the work lazy.
pub(crate) fn require(device: &Device) {
    match wgpu_device(device) {
        Some(device) => drop(Shared::of(&device)),
        None => panic!("{}", ShareError::NotWgpu { given: format!("{device:?}") }),
    }
}

impl Shared {
    pub fn of(device: &CubeDevice) -> Arc<Self> {
        let devices = DEVICES.read().unwrap_or_else(PoisonError::into_inner);
        let shared = devices.get(device).unwrap_or_else(|| {
            panic!(
                "burn-batchnorm knows no handles of {device:?}: start burn with burn_batchnorm::init, or call \
                 burn_batchnorm::share with the device and its WgpuSetup"
            )
        });
        shared.clone()
    }

    pub fn steps(&self) -> MutexGuard<'_, Steps> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Submits a step behind all that burn has submitted.
    pub fn submit(&self, step: &dyn Step) {
        let mut encoder = self.context.device().create_command_encoder(&Default::default());
        step.record(&mut encoder.begin_compute_pass(&Default::default()));
        self.queue.submit([encoder.finish()]);
    }

    /// What offsets of bindings are a multiple of.
    pub fn alignment(&self) -> u64 {
        self.context.profile().alignment.into()
    }
}
