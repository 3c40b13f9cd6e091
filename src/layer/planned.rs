//! Which plan a step takes: the one that is requested, the one that wisdom knows, or the model's.

use super::prepared::Prepared;
use super::{BatchNorm, PrepareError};
use crate::plan::{Plan, PlanRequest, Work};
use crate::tensor::{BoundTensor, Shape};

impl BatchNorm {
    /// The plan for tensors in these ranges.
    pub(super) fn plan<'a>(
        &self,
        work: Work,
        shape: Shape,
        tensors: impl IntoIterator<Item = &'a BoundTensor>,
        request: PlanRequest,
    ) -> Result<Plan, PrepareError> {
        let mut ends: Vec<u64> = tensors.into_iter().flat_map(BoundTensor::ends).collect();
        ends.sort_unstable();
        Ok(Plan::with_ends(self.context.profile(), work, shape, &ends, request)?)
    }

    /// What is prepared by the plan for tensors in these ranges: the one that wisdom knows, where nothing is requested and it
    /// fits.
    pub(super) fn planned<'a>(
        &self,
        work: Work,
        shape: Shape,
        tensors: impl IntoIterator<Item = &'a BoundTensor>,
        request: PlanRequest,
        prepare: impl Fn(Plan) -> Result<Prepared, PrepareError>,
    ) -> Result<Prepared, PrepareError> {
        let tensors: Vec<&BoundTensor> = tensors.into_iter().collect();
        let prepared = |request| self.plan(work, shape, tensors.iter().copied(), request).and_then(&prepare);
        if request == PlanRequest::default() {
            let known = self.context.request(work, shape);
            // A plan that does not fit, or that the device refuses, is as none.
            if let Some(known) = Some(known).filter(|known| *known != request).and_then(|k| prepared(k).ok())
            {
                return Ok(known);
            }
        }
        prepared(request)
    }
}
