//! Reference records under the DEK of a header that is at hand.
use super::{HeaderFile, Outcome, Scope, SealOptions, rewrap::parse_alone};
use crate::{
    Aad, Error, Result, Suite,
    dek::KeptDek,
    rt::wait,
    stream::{Sealing, check_threads},
};
use std::{
    fmt,
    io::{Read, Write},
};

/// Seals reference records under one DEK, whose header is kept elsewhere. They have the
/// header's suite.
///
/// The policy's bounds of messages and bytes hold for this value, its time does not: the DEK
/// goes when this is dropped. Nobody counts over several processes, or several runs: the
/// format's bound is 2^32 records of at most 64 GiB for one header, 2^25 of at most 1 TiB.
pub struct ReferenceSealer {
    dek: KeptDek,
    /// Those of the scope.
    threads: usize,
}

impl Scope {
    /// Unwraps the DEK of a header that was kept, to seal more records under it: a call to the
    /// KMS, whatever is remembered.
    ///
    /// # Errors
    /// As [`open`](Self::open); Malformed if it is not a header alone, of one copy.
    pub async fn reference_sealer(&self, header: &[u8]) -> Result<ReferenceSealer> {
        self.check()?;
        let header = parse_alone(header)?;
        let kms = &self.kms.0;
        let dek = KeptDek::of_header(&kms.keks, &header, &self.context, kms.sealer.policy()).await?;
        Ok(ReferenceSealer { dek, threads: self.threads })
    }

    /// The same with the header in a file. If there is no file it is made first, with a new
    /// DEK, for suite 2; of `options`, only whether it stores the context counts. Blocks.
    ///
    /// # Errors
    /// As [`reference_sealer`](Self::reference_sealer) and [`HeaderFile`]; Misuse if `options`
    /// want two header copies.
    pub fn reference_sealer_in(&self, file: &HeaderFile, options: &SealOptions) -> Result<ReferenceSealer> {
        self.check()?;
        options.check_one_copy()?;
        if let Some(header) = file.read()? {
            // Whoever made it may not have come so far.
            file.sync_name()?;
            return wait(self.reference_sealer(&header));
        }
        let kms = &self.kms.0;
        let (suite, policy) = (Suite::Chunked, kms.sealer.policy());
        let dek = wait(KeptDek::generate(&kms.keks, suite, &self.context, options.store_context, policy))?;
        if file.insert(dek.header.bytes())? {
            return Ok(ReferenceSealer { dek, threads: self.threads });
        }
        // Another was quicker: theirs is the one that stays.
        let gone = || Error::misuse(format!("{}: a link to nothing, or gone again", file.path().display()));
        wait(self.reference_sealer(&file.read()?.ok_or_else(gone)?))
    }
}

impl ReferenceSealer {
    /// Header and mac, as they are kept.
    pub fn header(&self) -> &[u8] {
        self.dek.header.bytes()
    }

    /// How its records are encrypted.
    pub fn suite(&self) -> Suite {
        self.dek.header.suite()
    }

    /// Seals one record, in memory.
    ///
    /// # Errors
    /// Limit beyond what the policy allows one DEK, or for suite 1 beyond 2^36 - 32 bytes;
    /// Forked.
    pub fn seal(&self, aad: Aad<'_>, plaintext: &[u8]) -> Result<Vec<u8>> {
        self.dek.seal(aad.as_bytes(), plaintext)
    }

    /// Starts a stream of `len` bytes, if that is known.
    ///
    /// # Errors
    /// As [`seal`](Self::seal); Misuse if the header is of suite 1.
    pub fn sealer(&self, aad: Aad<'_>, len: Option<u64>) -> Result<Sealing> {
        if self.suite() != Suite::Chunked {
            return Err(Error::misuse("a header of suite 1: its records are sealed whole, in memory"));
        }
        self.dek.stream(aad.as_bytes(), len)
    }

    /// Seals what `from` reads into `to`, on as many threads as the scope said: as
    /// [`Scope::seal_stream`]. Blocks.
    ///
    /// # Errors
    /// As [`sealer`](Self::sealer), and those of `from` and `to`; Misuse if another number of
    /// bytes came than was announced.
    pub fn seal_stream(
        &self,
        aad: Aad<'_>,
        len: Option<u64>,
        from: impl Read + Send,
        to: impl Write + Send,
    ) -> Result<Outcome> {
        check_threads(self.threads)?;
        let bytes = self.sealer(aad, len)?.copy(self.threads, from, to)?;
        Ok(Outcome { bytes, damage: None })
    }
}

impl fmt::Debug for ReferenceSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReferenceSealer").field("suite", &self.suite()).finish_non_exhaustive()
    }
}
