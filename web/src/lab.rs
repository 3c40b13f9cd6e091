//! A device for the page, and what is made on it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use anyhow::Context as _;
use batchnorm_experiments::gpu::Gpu;
use batchnorm_experiments::{data, digits};
use batchnorm_web_device::{self as device, Events, said};
use wasm_bindgen::prelude::*;

use crate::race::Race;
use crate::settings::Settings;
use crate::task::{Data, Task};

#[wasm_bindgen]
pub struct Lab {
    gpu: Gpu,
    events: Events,
    data: RefCell<Data>,
    compiled: Rc<Cell<usize>>,
}

#[wasm_bindgen]
impl Lab {
    /// Asks the browser for a device.
    pub async fn open() -> Result<Lab, JsError> {
        let (device, queue, events) = device::open().await.map_err(said)?;
        let gpu = Gpu::with_device(device, queue, String::new());
        Ok(Self { gpu, events, data: RefCell::default(), compiled: Rc::default() })
    }

    /// The file of the recorded regression.
    pub fn load_recorded(&self, file: &[u8]) -> Result<(), JsError> {
        let recorded = data::parse_recorded(file).context("the recorded regression").map_err(said)?;
        self.data.borrow_mut().recorded = Some(recorded);
        Ok(())
    }

    /// The losses that were recorded in float64: of the network with batch normalization, and of the one without.
    pub fn recorded_losses(&self, normalized: bool) -> Vec<f64> {
        let data = self.data.borrow();
        let curves = data.recorded.as_ref().map(|recorded| [&recorded.without, &recorded.with]);
        curves.map_or(vec![], |curves| curves[usize::from(normalized)].train_loss.clone())
    }

    /// The files of the digits.
    pub fn load_digits(&self, pixels: &[u8], labels: &[u8]) -> Result<(), JsError> {
        let task = data::parse_digits(pixels, labels).and_then(|digits| digits::Task::new(&self.gpu, digits));
        self.data.borrow_mut().digits = Some(task.map_err(said)?);
        Ok(())
    }

    /// Two networks.
    pub fn race(&self, settings: &Settings) -> Result<Race, JsError> {
        let data = self.data.borrow();
        let task = Task::new(&data, settings).map_err(said)?;
        Race::new(&self.gpu, &task, settings, self.compiled.clone()).map_err(said)
    }

    /// What plans are made for.
    pub fn profile(&self) -> String {
        self.gpu.context.profile().to_string()
    }

    /// Errors of the device that nothing else reported.
    pub fn errors(&self) -> Vec<String> {
        self.events.errors()
    }

    /// Why the device is lost, if it is.
    pub fn lost(&self) -> Option<String> {
        self.events.lost()
    }

    /// Gives the device back. Everything made on it ends.
    pub fn destroy(&self) {
        self.gpu.device.destroy();
    }
}
