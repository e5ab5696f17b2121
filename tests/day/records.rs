//! What was ever sealed.
use crate::kms::Named;

#[derive(Default)]
pub struct Records(Vec<Record>);

pub struct Record {
    pub tenant: u64,
    pub aad: u64,
    pub plaintext: Vec<u8>,
    pub dek: usize,
    /// As it was sealed, then as it was rewrapped.
    pub versions: Vec<Vec<u8>>,
    /// Under which keys the DEK of each version is wrapped.
    pub keys: Vec<Vec<Named>>,
    service: usize,
}

impl Record {
    pub fn new(
        (service, tenant, aad): (usize, u64, u64),
        plaintext: Vec<u8>,
        dek: usize,
        sealed: Vec<u8>,
        keys: Vec<Named>,
    ) -> Self {
        Self { tenant, aad, plaintext, dek, versions: vec![sealed], keys: vec![keys], service }
    }
}

impl Records {
    pub fn get(&self, record: usize) -> &Record {
        &self.0[record]
    }

    pub fn latest(&self, record: usize) -> usize {
        self.0[record].versions.len() - 1
    }

    pub fn add(&mut self, record: Record) {
        self.0.push(record);
    }

    pub fn rewrapped(&mut self, record: usize, sealed: Vec<u8>, keys: Vec<Named>) {
        let record = &mut self.0[record];
        record.versions.push(sealed);
        record.keys.push(keys);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// One of the last ten.
    pub fn recent(&self, service: usize, tenant: u64, pick: u64) -> Option<usize> {
        let numbers = (0..self.0.len()).rev();
        let recent: Vec<_> = numbers.filter(|n| self.is_of(*n, tenant, Some(service))).take(10).collect();
        picked(&recent, pick)
    }

    pub fn any_of(&self, tenant: u64, pick: u64) -> Option<usize> {
        let many = self.0.len();
        let first = pick as usize % many.max(1);
        (first..many).find(|n| self.is_of(*n, tenant, None))
    }

    pub fn any(&self, pick: u64) -> Option<usize> {
        let many = self.0.len();
        (many > 0).then(|| pick as usize % many)
    }

    /// With each version that it ever had.
    pub fn all_versions(&self) -> Vec<(usize, usize)> {
        let versions = |(n, record): (usize, &Record)| (0..record.versions.len()).map(move |v| (n, v));
        self.0.iter().enumerate().flat_map(versions).collect()
    }

    fn is_of(&self, record: usize, tenant: u64, service: Option<usize>) -> bool {
        let record = &self.0[record];
        record.tenant == tenant && service.is_none_or(|service| record.service == service)
    }
}

fn picked(from: &[usize], pick: u64) -> Option<usize> {
    (!from.is_empty()).then(|| from[pick as usize % from.len()])
}
