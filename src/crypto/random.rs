//! Random bytes for nonces and salts, in tens of nanoseconds.
//!
//! Each thread has a page of key stream under a seed fresh from the system: of AES-256 in
//! counter mode, or of ChaCha20 where the processor has no AES. Bytes are erased as they are
//! handed out, and an empty page is filled under a new seed: at most [`PAGE`] bytes ever come
//! from one seed. After a fork the page is gone with all key
//! memory. What a restored snapshot of a virtual machine would hand out twice is altered
//! by 64 bits from the processor's generator, drawn for every request; where there is no
//! such generator, by nothing, for as long as the page lasts: there, libkms is told of a
//! restored machine only through the seeds of a kernel that is (vmgenid).
use crate::{Error, ErrorKind, Result, arch, arch::without_kernel_residue, secret::Locked};
use chacha20::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use std::cell::RefCell;
use zeroize::Zeroizing;

const PAGE: usize = 2048;

struct Page {
    bytes: Locked<[u8; PAGE]>,
    used: usize,
}

/// Fills `out` with random bytes: at most 64, for nonces, salts and seeds.
///
/// # Errors
/// Io if the system has no random source, Forked in a child.
pub(crate) fn fill<const N: usize>(out: &mut [u8; N]) -> Result<()> {
    fill_each(std::iter::once(out))
}

/// The same of each, for messages that are all at hand. One word from the processor's generator does
/// for them: a machine that is restored in between seals the same messages once more.
pub(crate) fn fill_each<'a, const N: usize>(all: impl Iterator<Item = &'a mut [u8; N]>) -> Result<()> {
    const { assert!(N >= 8 && N <= 64) };
    // It takes longest, and other work is done meanwhile.
    let word = arch::hardware_word().unwrap_or(0).to_ne_bytes();
    for out in all {
        draw(out)?;
        out.iter_mut().zip(word).for_each(|(o, w)| *o ^= w);
    }
    Ok(())
}

fn draw(out: &mut [u8]) -> Result<()> {
    thread_local!(static PAGES: RefCell<Option<Page>> = const { RefCell::new(None) });
    let drawn = PAGES.try_with(|page| {
        let mut page = page.borrow_mut();
        if page.is_none() {
            *page = Some(Page { bytes: Locked::fill(|_| Ok(()))?, used: PAGE });
        }
        match page.as_mut() {
            Some(page) => page.draw(out),
            None => from_the_system(out),
        }
    });
    // A thread that ends has no page any more.
    drawn.unwrap_or_else(|_| from_the_system(out))
}

fn from_the_system(out: &mut [u8]) -> Result<()> {
    getrandom::fill(out).map_err(|e| Error::new(ErrorKind::Io, format!("the system's random source: {e}")))
}

impl Page {
    fn draw(&mut self, out: &mut [u8]) -> Result<()> {
        let bytes = self.bytes.get_mut()?;
        if PAGE - self.used < out.len() {
            let mut seed = Zeroizing::new([0; 32]);
            from_the_system(&mut *seed)?;
            without_kernel_residue(|| stretch(&seed, bytes));
            self.used = 0;
        }
        let fresh = &mut bytes[self.used..self.used + out.len()];
        out.copy_from_slice(fresh);
        fresh.fill(0);
        self.used += out.len();
        Ok(())
    }
}

fn stretch(seed: &[u8; 32], out: &mut [u8; PAGE]) {
    if !arch::key_stream(seed, out) {
        ChaCha20Rng::from_seed(*seed).fill_bytes(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn f14_a_million_nonces_on_four_threads_are_distinct() {
        let mut all = HashSet::new();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(|| {
                    (0..250_000)
                        .map(|_| {
                            let mut n = [0; 24];
                            fill(&mut n).unwrap();
                            n
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        for t in threads {
            all.extend(t.join().unwrap());
        }
        assert_eq!(all.len(), 1_000_000);
    }

    #[test]
    fn f16_bytes_handed_out_are_erased_and_pages_reseeded() {
        let mut page = Page { bytes: Locked::fill(|_| Ok(())).unwrap(), used: PAGE };
        let mut seen = HashSet::new();
        for _ in 0..3 * PAGE / 24 {
            let mut n = [0; 24];
            page.draw(&mut n).unwrap();
            assert!(seen.insert(n));
            assert!(page.bytes.get().unwrap()[..page.used].iter().all(|b| *b == 0));
        }
    }

    /// Every bit of a word is set about half of the time: no byte is left out.
    #[test]
    fn every_bit_varies() {
        let mut ones = [0u32; 256];
        for _ in 0..4096 {
            let mut n = [0; 32];
            fill(&mut n).unwrap();
            (0..256).for_each(|i| ones[i] += u32::from(n[i / 8] >> (i % 8) & 1));
        }
        assert!(ones.iter().all(|n| (1700..2400).contains(n)), "{ones:?}");
    }
}
