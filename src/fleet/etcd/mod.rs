//! The values of a Kubernetes cluster in its etcd: which are under which key, and all of them put
//! under the one that writes now.
//!
//! [`Etcd`] is the store, [`Stored`] the values of one resource in it, [`Survey`] tells what they are
//! under, and [`Rotate`] writes those anew that are stale, as the API server would: each only if
//! nobody wrote it meanwhile.
mod calls;
mod connect;
mod generated;
mod places;
mod rotate;
mod survey;
mod values;

pub use connect::{Etcd, EtcdTls};
pub use places::prefix_of;
pub use rotate::{Rotate, RotateEvent, Rotated};
pub use survey::{Survey, Under};
pub use values::Stored;
