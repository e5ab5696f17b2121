//! libkms beside its peers: what `benches/run` and `cargo bench` share.
//!
//! - [`peers`]: each library behind one small trait.
//! - [`library`]: what can be measured of any of them, as bursts of calls.
//! - [`messages`]: keys, nonces and buffers, prepared beforehand.
//! - [`works`]: what is measured.
//! - [`sample`]: bursts interleaved in one process, disturbed ones dropped, medians.
//! - [`machine`]: the processor's name, its limits, and a probe of what others do to it.
//! - [`report`], [`chart`]: lines of JSON, tables, drawings.
pub mod chart;
pub mod library;
#[allow(unsafe_code, reason = "single instructions are timed")]
pub mod machine;
pub mod messages;
pub mod peers;
pub mod report;
pub mod sample;
pub mod works;
