//! Whose a queue is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::device::{DeviceError, TELLS_AT_ONCE};

/// A device's queue, once it is known.
#[derive(Debug, Default)]
pub(super) struct KnownQueue(Mutex<Option<wgpu::Queue>>);

impl KnownQueue {
    /// That a queue is the device's, which has one. wgpu does not say whose a queue is, and tells the queue's own device of a
    /// mistake. But polling a device calls back what waits on its queue, and on no other. While the device works, nothing can
    /// be said yet.
    pub fn check(&self, device: &wgpu::Device, queue: &wgpu::Queue) -> Result<(), DeviceError> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let other = || DeviceError::OtherDevice { message: "the queue is another device's".into() };
        if !TELLS_AT_ONCE {
            return Ok(());
        }
        if let Some(known) = &*known() {
            return if known == queue { Ok(()) } else { Err(other()) };
        }
        let called = Arc::new(AtomicBool::new(false));
        let callback = called.clone();
        queue.on_submitted_work_done(move || callback.store(true, Ordering::Release));
        let polled = device.poll(wgpu::PollType::Poll);
        let is_called = || called.load(Ordering::Acquire);
        let idle = polled.is_ok_and(|status| status.is_queue_empty());
        if !is_called() && !idle {
            return Ok(());
        }
        // Another thread that polls may have taken the callback, and calls it in a moment.
        let soon = || (0..1000).any(|_| is_called() || wait());
        match is_called() || soon() {
            true => {
                *known() = Some(queue.clone());
                Ok(())
            }
            false => Err(other()),
        }
    }
}

/// A millisecond.
fn wait() -> bool {
    std::thread::sleep(Duration::from_millis(1));
    false
}
