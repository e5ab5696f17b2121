//! What there is one of for each place that keys are in.
use std::sync::OnceLock;

/// More places than any KMS has. If one tells of more, those beyond share the last.
const MOST: usize = 64;

/// One for each place, made when first needed.
pub(super) struct Places<T> {
    all: [OnceLock<Box<T>>; MOST],
    make: Box<dyn Fn() -> T + Send + Sync>,
}

impl<T> Places<T> {
    pub(super) fn new(make: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self { all: [const { OnceLock::new() }; MOST], make: Box::new(make) }
    }

    pub(super) fn of(&self, place: usize) -> &T {
        self.all[place.min(MOST - 1)].get_or_init(|| Box::new((self.make)()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr;

    #[test]
    fn each_place_has_its_own_and_there_are_not_too_many() {
        let places = Places::new(|| 0u8);
        assert!(ptr::eq(places.of(1), places.of(1)) && !ptr::eq(places.of(1), places.of(0)));
        assert!(ptr::eq(places.of(usize::MAX), places.of(MOST)));
        assert!(!ptr::eq(places.of(MOST), places.of(MOST - 2)));
    }
}
