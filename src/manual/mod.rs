//! The manual: what libkms promises, where it ends, and what this field got wrong before.

pub mod threat_model {
    #![doc = include_str!("threat_model.md")]
}

pub mod limits {
    #![doc = include_str!("limits.md")]
}

pub mod format {
    #![doc = include_str!("format.md")]
}

pub mod failures {
    #![doc = include_str!("failures.md")]
}
