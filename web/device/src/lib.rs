//! The browser's device, and what else all modules of the page have.

use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use wasm_bindgen::prelude::*;
use wgpu_batchnorm::wgpu;

/// A panic is told on the browser's console.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}

/// An error as JavaScript sees it, with its causes.
pub fn said(error: impl Into<anyhow::Error>) -> JsError {
    JsError::new(&format!("{:#}", error.into()))
}

/// What happened to a device that nobody asked about. wgpu wants it `Send`, though a page has one thread.
#[derive(Clone, Default)]
pub struct Events(Arc<Mutex<Happened>>);

#[derive(Default)]
struct Happened {
    errors: Vec<String>,
    lost: Option<String>,
}

impl Events {
    /// Errors that no scope caught.
    pub fn errors(&self) -> Vec<String> {
        self.happened(|happened| happened.errors.clone())
    }

    /// Why the device is lost, if it is.
    pub fn lost(&self) -> Option<String> {
        self.happened(|happened| happened.lost.clone())
    }

    fn happened<T>(&self, with: impl FnOnce(&mut Happened) -> T) -> T {
        with(&mut self.0.lock().expect("nobody panics with it"))
    }
}

/// A device with all the limits of the browser's fastest adapter.
pub async fn open() -> Result<(wgpu::Device, wgpu::Queue, Events)> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::BROWSER_WEBGPU,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let options = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..Default::default()
    };
    let adapter = instance.request_adapter(&options).await.context("the browser gave no adapter")?;
    let descriptor = wgpu::DeviceDescriptor { required_limits: adapter.limits(), ..Default::default() };
    let (device, queue) = adapter.request_device(&descriptor).await.context("the adapter gave no device")?;
    let events = Events::default();
    let sink = events.clone();
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
        sink.happened(|happened| happened.errors.push(error.to_string()));
    }));
    let sink = events.clone();
    device.set_device_lost_callback(move |_, why| sink.happened(|happened| happened.lost = Some(why)));
    Ok((device, queue, events))
}

/// Waits for all work submitted so far.
pub async fn idle(queue: &wgpu::Queue) {
    let (done, wait) = futures_channel::oneshot::channel();
    queue.on_submitted_work_done(move || {
        // Nobody waits any more where the page was left.
        let _ = done.send(());
    });
    let _ = wait.await;
}
