//! A device to gather evidence on, beside the one that trains.

use batchnorm_web_device::{self as device, Events, said};
use wasm_bindgen::prelude::*;
use wgpu_batchnorm::headless::Gpu;

#[wasm_bindgen]
pub struct Evidence {
    pub(crate) gpu: Gpu,
    events: Events,
}

#[wasm_bindgen]
impl Evidence {
    /// Asks the browser for a device.
    pub async fn open() -> Result<Evidence, JsError> {
        let (device, queue, events) = device::open().await.map_err(said)?;
        Ok(Self { gpu: Gpu::from_device(device, queue), events })
    }

    /// Errors of the device that nothing else reported.
    pub fn errors(&self) -> Vec<String> {
        self.events.errors()
    }

    /// Gives the device back. Everything made on it ends.
    pub fn destroy(&self) {
        self.gpu.device.destroy();
    }
}
