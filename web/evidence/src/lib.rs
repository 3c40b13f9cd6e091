//! Whether the layer is right in a browser, and how fast. The page loads this module when a visitor asks.

mod bench;
mod conformance;
mod evidence;
mod long_sums;
