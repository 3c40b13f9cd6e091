//! The CPU reference itself: against the reference files, its gradients against finite differences, and what its options
//! promise.

mod activations;
mod gradients;
mod guard;
mod masks;
mod parts;
mod reference;
