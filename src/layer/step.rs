use crate::plan::Plan;

/// Prepared work: a [`ForwardStep`](crate::ForwardStep) or a [`BackwardStep`](crate::BackwardStep). Both have these methods
/// of their own too; the trait is for code that takes either.
pub trait Step {
    /// Records the step's dispatches. Allocates nothing, submits nothing, cannot fail.
    fn record(&self, pass: &mut wgpu::ComputePass<'_>);

    /// How it will be done.
    fn plan(&self) -> &Plan;
}
