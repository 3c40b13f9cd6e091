//! What a device says of what it was asked for, at once: lost, out of memory, of another device, or refused.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Why a device did not do what it was asked for. Nothing was kept of it.
///
/// Native devices tell at once. A browser tells later, and to error scopes and handlers of the program alone: there the
/// call is `Ok`, and [`Context::warm_up`](crate::Context::warm_up) says how to learn of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The device was destroyed, or its driver gave it up.
    #[error(
        "the device is lost: request another one, make a context and layers on it, and set the state that was read last"
    )]
    Lost,
    /// There is no memory for a buffer, a pipeline or a bind group.
    #[error("the device is out of memory: free buffers or take smaller batches, and call again")]
    OutOfMemory,
    /// A buffer, or the queue, is of another device than the context.
    #[error("of another device than the context's: use buffers and the queue of one device ({message})")]
    OtherDevice {
        /// What wgpu says.
        message: String,
    },
    /// Something that was given is not usable, such as a buffer that was destroyed.
    #[error("the device refuses what it is given: {message}")]
    Refused {
        /// What wgpu says.
        message: String,
    },
}

impl DeviceError {
    /// What an error means that a scope caught.
    pub(crate) fn of(device: &wgpu::Device, error: wgpu::Error) -> Self {
        match error {
            wgpu::Error::OutOfMemory { .. } => Self::OutOfMemory,
            error => alive(device).err().unwrap_or_else(|| Self::refused(error.to_string())),
        }
    }

    /// By what wgpu says, since it gives no other sign: "Device A of Buffer doesn't match Device B".
    pub(crate) fn refused(message: String) -> Self {
        match message.contains("doesn't match") && message.contains("Device") {
            true => Self::OtherDevice { message },
            false => Self::Refused { message },
        }
    }
}

/// Whether errors are known when a call returns. Browsers tell later.
pub(super) const TELLS_AT_ONCE: bool = !cfg!(target_arch = "wasm32");

/// What is known now.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(known) => Some(known),
        Poll::Pending => None,
    }
}

/// Does work on the device, and takes what is wrong with it from the device's error handler, which would panic by
/// default.
pub(crate) fn checked<T>(device: &wgpu::Device, work: impl FnOnce() -> T) -> Result<T, DeviceError> {
    match scoped(device, work) {
        (done, None) => Ok(done),
        (_, Some(error)) => Err(DeviceError::of(device, error)),
    }
}

fn scoped<T>(device: &wgpu::Device, work: impl FnOnce() -> T) -> (T, Option<wgpu::Error>) {
    if !TELLS_AT_ONCE {
        return (work(), None);
    }
    let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let done = work();
    // The innermost first.
    let errors = (now(validation.pop()).flatten(), now(memory.pop()).flatten());
    (done, errors.1.or(errors.0))
}

/// That the device is not lost. wgpu reports a loss to the callback of the program alone; but a buffer of a lost device
/// cannot be mapped.
pub(crate) fn alive(device: &wgpu::Device) -> Result<(), DeviceError> {
    if !TELLS_AT_ONCE {
        return Ok(());
    }
    let descriptor = wgpu::BufferDescriptor {
        label: Some("batch norm: is the device there?"),
        size: 4,
        usage: wgpu::BufferUsages::MAP_WRITE,
        mapped_at_creation: true,
    };
    match scoped(device, || device.create_buffer(&descriptor).get_mapped_range_mut(..).is_ok()) {
        // A device that has no memory left is there.
        (true, _) | (_, Some(wgpu::Error::OutOfMemory { .. })) => Ok(()),
        _ => Err(DeviceError::Lost),
    }
}

/// A buffer of zeros.
pub(crate) fn buffer(
    device: &wgpu::Device,
    descriptor: &wgpu::BufferDescriptor<'_>,
) -> Result<wgpu::Buffer, DeviceError> {
    checked(device, || device.create_buffer(descriptor))
}

/// That there is memory for a large buffer, and for the copy that wgpu fills it from: where wgpu finds none for the copy, it
/// gives the device up.
fn check_room(device: &wgpu::Device, size: u64) -> Result<(), DeviceError> {
    if !TELLS_AT_ONCE || size < 1 << 20 {
        return Ok(());
    }
    let label = Some("batch norm: is there room?");
    let of = |usage| wgpu::BufferDescriptor { label, size, usage, mapped_at_creation: false };
    let usages = [wgpu::BufferUsages::MAP_WRITE, wgpu::BufferUsages::COPY_DST];
    usages.map(|usage| buffer(device, &of(usage))).into_iter().try_for_each(|room| room.map(drop))
}

/// A buffer with contents, of a multiple of 4 bytes. Its device is not lost.
pub(crate) fn filled(
    device: &wgpu::Device,
    label: Option<&str>,
    contents: &[u8],
    usage: wgpu::BufferUsages,
) -> Result<wgpu::Buffer, DeviceError> {
    let size = contents.len() as u64;
    check_room(device, size)?;
    let descriptor = wgpu::BufferDescriptor { label, size, usage, mapped_at_creation: true };
    let fill = || {
        let buffer = device.create_buffer(&descriptor);
        buffer.get_mapped_range_mut(..).ok()?.slice(..).copy_from_slice(contents);
        buffer.unmap();
        Some(buffer)
    };
    checked(device, fill)?.ok_or(DeviceError::Lost)
}
