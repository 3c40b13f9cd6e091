//! The reference files, in the page.

use testkit::conformance::{compare, gpu, read};
use wasm_bindgen::prelude::*;
use wgpu_batchnorm::{Context, ContextOptions, Costs, DeviceProfile, GpuCosts, SoftwareCosts, headless};

use crate::evidence::Evidence;

/// Whose plans are checked.
#[wasm_bindgen]
#[derive(Clone, Copy, Debug)]
pub enum PlansOf {
    /// Those that the device is given.
    Device,
    /// Those of a GPU.
    Gpu,
    /// Those of a software adapter.
    Software,
}

impl PlansOf {
    pub fn context(self, device: &headless::Gpu) -> Context {
        let profile = DeviceProfile::of(&device.device);
        let profile = match self {
            Self::Device => profile,
            Self::Gpu => profile.with_costs(Costs::Gpu(GpuCosts::DISCRETE)),
            Self::Software => profile.with_costs(Costs::Software(SoftwareCosts::LAVAPIPE)),
        };
        Context::with_options(&device.device, ContextOptions::default().profile(profile))
    }
}

/// Checks reference files, one after the other, on the device of the evidence.
#[wasm_bindgen]
pub struct Conformance {
    gpu: headless::Gpu,
    context: Context,
}

/// The verdict on a file: on its tensor of the largest error, as a share of what is allowed.
#[wasm_bindgen(getter_with_clone)]
pub struct Verdict {
    pub name: String,
    pub passed: bool,
    /// Tensors that were compared.
    pub tensors: usize,
    pub worst: String,
    /// Scaled error of that tensor, and what is allowed.
    pub error: f64,
    pub tolerance: f64,
}

#[wasm_bindgen]
impl Conformance {
    #[wasm_bindgen(constructor)]
    pub fn new(evidence: &Evidence, plans: PlansOf) -> Self {
        let gpu = evidence.gpu.clone();
        Self { context: plans.context(&gpu), gpu }
    }

    pub async fn check(&self, file: Vec<u8>) -> Result<Verdict, JsError> {
        let case = read::read(&file).map_err(|error| JsError::new(&error))?;
        let results =
            gpu::run(&self.gpu, &self.context, &case).await.map_err(|error| JsError::new(&error))?;
        let report = compare::compare(&case, &results);
        let outcome = |row: &compare::Row| match row.outcome {
            compare::Outcome::Compared { error, tolerance } => Some((row.tensor.clone(), error, tolerance)),
            compare::Outcome::Skipped => None,
        };
        let compared: Vec<_> = report.rows.iter().filter_map(outcome).collect();
        let share = |(_, error, tolerance): &(String, f64, f64)| error / tolerance.max(f64::MIN_POSITIVE);
        let worst = compared.iter().max_by(|a, b| share(a).total_cmp(&share(b)));
        let (worst, error, tolerance) = worst.cloned().unwrap_or_default();
        let (passed, tensors) = (report.passed(), compared.len());
        Ok(Verdict { name: case.name, passed, tensors, worst, error, tolerance })
    }

    pub fn destroy(self) {
        self.context.destroy();
    }
}
