//! What `proto/` makes: tests/generated.rs makes it again.
#[allow(missing_docs, unreachable_pub, dead_code, clippy::all, clippy::pedantic, reason = "generated")]
#[rustfmt::skip]
pub(super) mod etcdserverpb;
