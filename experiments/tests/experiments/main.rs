//! The networks of the experiments: their data, kernels, gradients and training. One program, so that what trains on one
//! core leaves the other one to the rest. Parts that use a GPU have devices of their own: a software driver runs what is
//! submitted to a device on one thread.

mod data;
mod gradients;
mod kernels;
mod shaders;
mod training;
