//! What goes wrong with a device: each fault is an error of the call that meets it, or documented, and never a panic of the
//! library's own. All with wgpu's own handler of errors, which panics, and with the program's, which then has nothing to
//! hear.

mod foreign;
mod in_flight;
mod limits;
mod lost;
mod memory;
mod rig;
