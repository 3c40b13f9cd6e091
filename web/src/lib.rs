//! Two networks that train in a browser tab, one with batch normalization and one without; and the layer's conformance
//! and speed in that browser. The page's JavaScript calls what is here.

mod adapter;
mod bench;
mod conformance;
mod lab;
mod long_sums;
mod network;
mod race;
mod readback;
mod settings;
mod task;
mod turn;

use wasm_bindgen::prelude::*;

#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}

/// An error as JavaScript sees it, with its causes.
fn said(error: impl Into<anyhow::Error>) -> JsError {
    JsError::new(&format!("{:#}", error.into()))
}
