//! Headers in a directory, one file each.
use super::{HeaderFile, HeaderStore};
use crate::{Error, Result, async_trait};
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

/// What the files are called: 64 digits of the commitment, a-f in lower case, and this.
const SUFFIX: &str = ".kmsh";

/// Headers in a directory, each in a file of its own, named by its commitment. Processes may
/// share it. Files that are called otherwise are left alone.
///
/// A header appears whole or not at all, and is synced with its directory before
/// [`put`](HeaderStore::put) returns: that blocks for as long as the disk takes, once per DEK.
/// Back it up with the records, and delete nothing that a record may still name.
#[derive(Clone, Debug)]
pub struct HeaderDirectory {
    path: PathBuf,
}

impl HeaderDirectory {
    /// A directory that is there.
    ///
    /// # Errors
    /// Io; Misuse if it is no directory.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let what = |e| Error::io(path.as_ref().display(), e);
        // Once: the working directory may change.
        let path = fs::canonicalize(&path).map_err(what)?;
        if !fs::metadata(&path).map_err(what)?.is_dir() {
            return Err(Error::misuse(format!("{} is not a directory", path.display())));
        }
        Ok(Self { path })
    }

    /// Of which DEKs there are headers, in no order.
    ///
    /// # Errors
    /// Io.
    pub fn commitments(&self) -> Result<Vec<[u8; 32]>> {
        let what = |e| Error::io(self.path.display(), e);
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(what)? {
            found.extend(entry.map_err(what)?.file_name().to_str().and_then(commitment_of));
        }
        Ok(found)
    }

    fn file(&self, commitment: &[u8; 32]) -> HeaderFile {
        HeaderFile::at(self.path.join(name_of(commitment)))
    }
}

#[async_trait]
impl HeaderStore for HeaderDirectory {
    async fn get(&self, commitment: &[u8; 32]) -> Result<Option<Vec<u8>>> {
        let header = self.file(commitment).read()?;
        if header.is_none() {
            // A directory that is gone for now is no reason to give up its records.
            fs::metadata(&self.path).map_err(|e| Error::io(self.path.display(), e))?;
        }
        Ok(header)
    }

    async fn put(&self, commitment: &[u8; 32], header: &[u8], replaces: Option<&[u8]>) -> Result<bool> {
        let file = self.file(commitment);
        match replaces {
            None => file.insert(header),
            Some(old) => file.replace(old, header),
        }
    }
}

fn name_of(commitment: &[u8; 32]) -> String {
    let mut name = String::with_capacity(64 + SUFFIX.len());
    for byte in commitment {
        write!(name, "{byte:02x}").expect("writing to a string");
    }
    name + SUFFIX
}

/// The one way back: no two names are of one commitment.
fn commitment_of(name: &str) -> Option<[u8; 32]> {
    let digits = name.strip_suffix(SUFFIX)?.as_bytes().as_chunks::<2>().0;
    let digit = |d: u8| char::from(d).to_digit(16).map(|n| n as u8);
    let bytes = digits.iter().map(|[a, b]| Some(digit(*a)? << 4 | digit(*b)?)).collect::<Option<Vec<_>>>()?;
    let commitment = bytes.try_into().ok()?;
    (name_of(&commitment) == name).then_some(commitment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        let commitment = std::array::from_fn(|i| (i * 9) as u8);
        let name = name_of(&commitment);
        assert_eq!(commitment_of(&name), Some(commitment));
        let upper = name.to_uppercase().replace(".KMSH", SUFFIX);
        for bad in ["", SUFFIX, &name[2..], &format!("00{name}"), &name[..68], &upper, &format!("{name}~")] {
            assert_eq!(commitment_of(bad), None, "{bad}");
        }
    }
}
