//! The manual: what libkms promises, where it ends, and what this field got wrong before.

pub mod threat_model {
    #![doc = include_str!("threat_model.md")]
}

pub mod limits {
    #![doc = include_str!("limits.md")]
}

#[cfg(feature = "config")]
pub mod configuration {
    #![doc = include_str!("configuration.md")]
    #![doc = "```toml"]
    #![doc = include_str!("../../examples/cluster.toml")]
    #![doc = "```"]
}

pub mod format {
    #![doc = include_str!("format.md")]
}

pub mod failures {
    #![doc = include_str!("failures.md")]
}
