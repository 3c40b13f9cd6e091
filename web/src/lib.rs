//! Two networks that train in a browser tab, one with batch normalization and one without. The page's JavaScript calls what
//! is here.

mod lab;
mod network;
mod race;
mod readback;
mod settings;
mod task;
mod turn;
