//! What depends on the machine: CPU kernels behind one set of names, and system calls.
//!
//! Callers see keys that seal and open; which kernel serves a key is chosen when the key is
//! made (`gcm`, `cbc`). Of other ciphers, and of processors without kernels, the
//! RustCrypto crates take care (`portable`): constant-time in software, and on AES-NI or
//! ARMv8 AES where the processor has them.
#[cfg(unix)]
mod access;
mod cache;
mod cbc;
mod clock;
mod engine;
mod entropy;
mod gcm;
mod lanes;
mod link;
mod portable;
#[cfg(all(unix, any(feature = "config", feature = "local")))]
mod user;

#[cfg(unix)]
pub(crate) use access::has_access_list;
pub(crate) use cache::{begin_writing, forget_cached};
pub(crate) use cbc::{BLOCK, CbcKey, without_cbc_residue};
pub(crate) use clock::since_boot;
pub(crate) use engine::Engine;
pub(crate) use entropy::hardware_word;
#[cfg(any(test, feature = "kubernetes"))]
pub(crate) use gcm::GcmKey;
#[cfg(test)]
pub(crate) use gcm::tests::{depth, stack_that_is_wiped};
pub(crate) use gcm::{
    Aes256Gcm, Message, XaesKey, XaesSchedule, key_stream, open_many, seal_many, too_long, wipe_from,
    without_kernel_residue,
};
#[cfg(libkms_raw)]
pub(crate) use gcm::{seal_each_in_place, set_each};
pub(crate) use link::{link_open_file, rename_new};
pub(crate) use portable::Aes;
#[cfg(any(test, feature = "local"))]
pub(crate) use portable::on_cipher;
#[cfg(all(unix, any(feature = "config", feature = "local")))]
pub(crate) use user::effective_user;
