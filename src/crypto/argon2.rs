//! Argon2id, version 0x13 (RFC 9106), without a secret and associated data.
use crate::{
    Error, Result,
    secret::{Locked, without_residue_below},
};
use ::argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::Zeroizing;

/// Its frames go down 12 KiB and hold blocks of 1 KiB: with the first of them a guess at the
/// passphrase costs nothing.
const DEPTH: usize = 32 * 1024;

/// 32 bytes of a passphrase: `m` KiB of memory, 8 for each lane or more, `t` passes, `p`
/// lanes, a salt of 8 bytes or more.
pub(crate) fn argon2id(passphrase: &[u8], salt: &[u8], [m, t, p]: [u32; 3]) -> Result<Locked<[u8; 32]>> {
    let refused = |e| Error::limit(format!("Argon2id with m {m}, t {t}, p {p}: {e}"));
    let params = Params::new(m, t, p, Some(32)).map_err(refused)?;
    // Our own: the crate would give its memory back as it is.
    let mut memory = Zeroizing::new(Vec::new());
    let none = |_| Error::limit(format!("no memory for Argon2id: it takes {m} KiB"));
    memory.try_reserve_exact(params.block_count()).map_err(none)?;
    memory.resize(params.block_count(), Block::new());
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    Locked::fill(|key| {
        let memory = &mut memory[..];
        without_residue_below::<DEPTH, _>(|| {
            argon.hash_password_into_with_memory(passphrase, salt, key, memory)
        })
        .map_err(refused)
    })
}
