//! Runs a case of 16-bit storage, epilogues, masks and parts on the GPU.

use wgpu_batchnorm::Context;
use wgpu_batchnorm::headless::Gpu;

use super::case::Case;
use super::results::Results;
use super::tensor::Result;

/// Runs the step of `case`, then its evaluation. Inputs are to be encoded in the case's storage type
/// ([`encode`](crate::storage::encode)), and results decoded from it.
pub fn run(_gpu: &Gpu, _context: &Context, case: &Case) -> Result<Results> {
    let Case { storage, epilogue, .. } = case;
    Err(format!(
        "the GPU does not run extended cases yet: {storage} storage, {:?}{}{}{}",
        epilogue.activation,
        if epilogue.residual { ", a residual" } else { "" },
        if case.steps.iter().any(|step| step.valid.is_some()) { ", a mask" } else { "" },
        if case.steps.iter().any(|step| !step.parts.is_empty()) { ", parts" } else { "" },
    ))
}
