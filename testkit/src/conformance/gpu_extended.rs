//! What of extended cases the GPU does not run yet.

use super::case::Case;
use super::tensor::Result;

/// An error for a case with a mask, or one that comes in parts.
pub fn check(case: &Case) -> Result<()> {
    let any = |is: fn(&super::case::Input) -> bool| case.steps.iter().any(is);
    match (any(|step| step.valid.is_some()), any(|step| !step.parts.is_empty())) {
        (false, false) => Ok(()),
        (true, _) => Err("the GPU does not run cases with a mask yet".into()),
        (_, true) => Err("the GPU does not run cases in parts yet".into()),
    }
}
