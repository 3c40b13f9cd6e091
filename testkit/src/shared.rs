//! The devices that the tests of a program share. Software drivers compile pipelines on one thread of each device, so that
//! tests which run side by side get devices of their own.

use std::sync::{Mutex, OnceLock};

use wgpu_batchnorm::Context;
use wgpu_batchnorm::headless::Gpu;

/// The most devices of a program.
const DEVICES: usize = 4;

/// A device, and the contexts that all tests on it share, so that each pipeline is built once on it.
pub struct Shared {
    pub gpu: Gpu,
    pub context: Context,
    pub classes: OnceLock<[(&'static str, Context); 2]>,
    pub half_accesses: OnceLock<Vec<(&'static str, Context)>>,
    pub webgpu: OnceLock<Context>,
    pub discrete: OnceLock<Context>,
}

static SHARED: [OnceLock<Shared>; DEVICES] = [const { OnceLock::new() }; DEVICES];
/// How many threads use each device.
static THREADS: Mutex<[u32; DEVICES]> = Mutex::new([0; DEVICES]);

/// A thread's use of one of the devices.
struct Lease(usize);

thread_local! {
    static LEASE: OnceLock<Lease> = const { OnceLock::new() };
}

impl Lease {
    /// Of the device that the fewest threads use.
    fn new() -> Self {
        let mut threads = THREADS.lock().unwrap();
        let least = (0..DEVICES).min_by_key(|&i| threads[i]).expect("there are several");
        threads[least] += 1;
        Self(least)
    }

    fn of_thread() -> usize {
        LEASE.with(|lease| lease.get_or_init(Self::new).0)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        THREADS.lock().unwrap()[self.0] -= 1;
    }
}

/// What this thread uses. Panics where there is no device, and says what to install.
pub fn shared() -> &'static Shared {
    SHARED[Lease::of_thread()].get_or_init(|| {
        let gpu = Gpu::new().unwrap_or_else(|error| panic!("these tests need a device: {error}"));
        eprintln!("adapter: {}", gpu.describe());
        let context = Context::new(&gpu.device);
        Shared {
            gpu,
            context,
            classes: OnceLock::new(),
            half_accesses: OnceLock::new(),
            webgpu: OnceLock::new(),
            discrete: OnceLock::new(),
        }
    })
}

/// One of the devices, for threads that a test starts.
#[derive(Clone, Copy)]
pub struct Device(usize);

/// The device of this thread.
pub fn device_of_thread() -> Device {
    Device(Lease::of_thread())
}

impl Device {
    /// Makes it the device of this thread, which has none yet.
    pub fn enter(self) {
        LEASE.with(|lease| {
            THREADS.lock().unwrap()[self.0] += 1;
            assert!(lease.set(Lease(self.0)).is_ok(), "the thread has a device");
        });
    }
}
