//! The processor's own random generator, which a restored snapshot does not repeat.

/// 64 bits from RDRAND, or `None` where there is none or it fails.
pub(crate) fn hardware_word() -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("rdrand") {
        // SAFETY: the feature was detected.
        return unsafe { rdrand() };
    }
    None
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "rdrand")]
fn rdrand() -> Option<u64> {
    let mut word = 0;
    // Intel's guide asks for ten tries; all ones is what broken AMD firmware gave.
    for _ in 0..10 {
        if std::arch::x86_64::_rdrand64_step(&mut word) == 1 && word != u64::MAX {
            return Some(word);
        }
    }
    None
}
