//! The manual: what libkms promises, where it ends, how keys live, and what this field got
//! wrong before.

pub mod threat_model {
    #![doc = include_str!("threat_model.md")]
}

pub mod limits {
    #![doc = include_str!("limits.md")]
}

pub mod aws {
    #![doc = include_str!("aws.md")]
}

#[cfg(feature = "config")]
pub mod configuration {
    #![doc = include_str!("configuration.md")]
    #![doc = "```toml"]
    #![doc = include_str!("../../examples/cluster.toml")]
    #![doc = "```"]
}

#[cfg(feature = "aws")]
pub mod aws_policy {
    #![doc = include_str!("aws_policy.md")]
}

#[cfg(feature = "kubernetes")]
pub mod kubernetes {
    #![doc = include_str!("kubernetes.md")]
}

#[cfg(feature = "plugin")]
pub mod plugin {
    #![doc = include_str!("plugin.md")]
}

#[cfg(feature = "kubernetes")]
pub mod kubernetes_keys {
    #![doc = include_str!("kubernetes_keys.md")]
}

pub mod rotation {
    #![doc = include_str!("rotation.md")]
}

pub mod revocation {
    #![doc = include_str!("revocation.md")]
}

pub mod shredding {
    #![doc = include_str!("shredding.md")]
}

pub mod format {
    #![doc = include_str!("format.md")]
}

pub mod failures {
    #![doc = include_str!("failures.md")]
}
