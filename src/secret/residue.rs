//! What ciphers and hashes leave behind where they worked: on the stack and in registers.

/// More stack than any of them uses; frames are larger where little is optimised.
pub(crate) const STACK: usize = if cfg!(debug_assertions) { 32 * 1024 } else { 16 * 1024 };

/// Runs `work`, which handles keys, and wipes the stack below it and the registers:
/// round keys that were spilt or stayed loaded, keys that were moved, the states of hash
/// functions. A core dump holds both. Every function of `crypto` that is called from
/// outside of it works in here.
#[inline(always)]
pub(crate) fn without_residue<R>(work: impl FnOnce() -> R) -> R {
    without_residue_below::<STACK, R>(work)
}

/// As [`without_residue`], for work that uses less stack, or more.
#[inline(always)]
pub(crate) fn without_residue_below<const DEPTH: usize, R>(work: impl FnOnce() -> R) -> R {
    let result = apart(work);
    wipe_stack::<DEPTH>();
    wipe_registers();
    result
}

/// Out of line: what it leaves lies below its caller's frame.
#[inline(never)]
fn apart<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// By aligned vectors: the `memset` of some KiB is "rep stosb", which takes twice as long and lets
/// nothing else run beside it.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn wipe_stack<const DEPTH: usize>() {
    if std::is_x86_feature_detected!("avx") {
        // SAFETY: the feature was detected.
        unsafe { wipe_stack_by_lines::<DEPTH>() }
    } else {
        zeroize::zeroize_stack::<DEPTH>();
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn wipe_stack<const DEPTH: usize>() {
    zeroize::zeroize_stack::<DEPTH>();
}

/// From its upper end down; of the last 128 bytes some may stay.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
#[inline(never)]
fn wipe_stack_by_lines<const DEPTH: usize>() {
    const { assert!(DEPTH > 128 && DEPTH.is_multiple_of(128)) };
    let mut below = std::mem::MaybeUninit::<[u8; DEPTH]>::uninit();
    // SAFETY: writes the upper 64 bytes, and lines between them and the lower end: all of them ours.
    unsafe {
        std::arch::asm!(
            "vpxor {zero}, {zero}, {zero}",
            "vmovdqu [{at} - 32], {zero:y}", "vmovdqu [{at} - 64], {zero:y}",
            "and {at}, -64",
            "2:",
            "vmovdqa [{at} - 32], {zero:y}", "vmovdqa [{at} - 64], {zero:y}",
            "vmovdqa [{at} - 96], {zero:y}", "vmovdqa [{at} - 128], {zero:y}",
            "sub {at}, 128", "dec {pairs:e}", "jnz 2b",
            zero = out(xmm_reg) _, at = inout(reg) below.as_mut_ptr().add(1) => _,
            pairs = inout(reg) DEPTH / 128 - 1 => _,
            options(nostack),
        );
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn wipe_registers() {
    wipe_vectors();
    // SAFETY: overwrites registers that a call may change, all of which are declared; nothing else.
    unsafe {
        std::arch::asm!(
            "xor eax, eax", "xor ecx, ecx", "xor edx, edx", "xor esi, esi", "xor edi, edi",
            "xor r8d, r8d", "xor r9d, r9d", "xor r10d, r10d", "xor r11d, r11d",
            out("rax") _, out("rcx") _, out("rdx") _, out("rsi") _, out("rdi") _,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _, options(nomem, nostack),
        );
    }
}

#[cfg(target_arch = "x86_64")]
fn wipe_vectors() {
    if std::is_x86_feature_detected!("avx512f") && std::is_x86_feature_detected!("avx512vl") {
        // SAFETY: the features were detected.
        unsafe { wipe_zmm() }
    } else if std::is_x86_feature_detected!("avx") {
        // SAFETY: the feature was detected.
        unsafe { wipe_ymm() }
    } else {
        wipe_xmm();
    }
}

/// Those that a call may change, and of the vectors all.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn wipe_registers() {
    // SAFETY: overwrites registers, all of which are declared; nothing else.
    unsafe {
        std::arch::asm!(
            "movi v0.16b, #0", "movi v1.16b, #0", "movi v2.16b, #0", "movi v3.16b, #0",
            "movi v4.16b, #0", "movi v5.16b, #0", "movi v6.16b, #0", "movi v7.16b, #0",
            "movi v8.16b, #0", "movi v9.16b, #0", "movi v10.16b, #0", "movi v11.16b, #0",
            "movi v12.16b, #0", "movi v13.16b, #0", "movi v14.16b, #0", "movi v15.16b, #0",
            "movi v16.16b, #0", "movi v17.16b, #0", "movi v18.16b, #0", "movi v19.16b, #0",
            "movi v20.16b, #0", "movi v21.16b, #0", "movi v22.16b, #0", "movi v23.16b, #0",
            "movi v24.16b, #0", "movi v25.16b, #0", "movi v26.16b, #0", "movi v27.16b, #0",
            "movi v28.16b, #0", "movi v29.16b, #0", "movi v30.16b, #0", "movi v31.16b, #0",
            "mov x0, xzr", "mov x1, xzr", "mov x2, xzr", "mov x3, xzr", "mov x4, xzr", "mov x5, xzr",
            "mov x6, xzr", "mov x7, xzr", "mov x8, xzr", "mov x9, xzr", "mov x10, xzr", "mov x11, xzr",
            "mov x12, xzr", "mov x13, xzr", "mov x14, xzr", "mov x15, xzr", "mov x16, xzr", "mov x17, xzr",
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _,
            out("v6") _, out("v7") _, out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _, out("v16") _, out("v17") _,
            out("v18") _, out("v19") _, out("v20") _, out("v21") _, out("v22") _, out("v23") _,
            out("v24") _, out("v25") _, out("v26") _, out("v27") _, out("v28") _, out("v29") _,
            out("v30") _, out("v31") _,
            out("x0") _, out("x1") _, out("x2") _, out("x3") _, out("x4") _, out("x5") _,
            out("x6") _, out("x7") _, out("x8") _, out("x9") _, out("x10") _, out("x11") _,
            out("x12") _, out("x13") _, out("x14") _, out("x15") _, out("x16") _, out("x17") _,
            options(nomem, nostack, preserves_flags),
        );
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn wipe_registers() {}

/// The sixteen registers that every x86-64 has, as what an `asm!` overwrites.
#[cfg(target_arch = "x86_64")]
macro_rules! asm_over_16 {
    ($($code:literal),+; $($more:tt),*) => {
        // SAFETY: overwrites vector registers, all of which are declared; nothing else.
        unsafe {
            std::arch::asm!(
                $($code),+,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                $(out($more) _,)*
                options(nomem, nostack, preserves_flags),
            )
        }
    };
}

/// 128-bit operations clear the whole register, and cost no clock.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl")]
fn wipe_zmm() {
    asm_over_16!(
        "vzeroall",
        "vpxord xmm16, xmm16, xmm16", "vpxord xmm17, xmm17, xmm17",
        "vpxord xmm18, xmm18, xmm18", "vpxord xmm19, xmm19, xmm19",
        "vpxord xmm20, xmm20, xmm20", "vpxord xmm21, xmm21, xmm21",
        "vpxord xmm22, xmm22, xmm22", "vpxord xmm23, xmm23, xmm23",
        "vpxord xmm24, xmm24, xmm24", "vpxord xmm25, xmm25, xmm25",
        "vpxord xmm26, xmm26, xmm26", "vpxord xmm27, xmm27, xmm27",
        "vpxord xmm28, xmm28, xmm28", "vpxord xmm29, xmm29, xmm29",
        "vpxord xmm30, xmm30, xmm30", "vpxord xmm31, xmm31, xmm31";
        "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23",
        "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31"
    );
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
fn wipe_ymm() {
    asm_over_16!("vzeroall";);
}

#[cfg(target_arch = "x86_64")]
fn wipe_xmm() {
    asm_over_16!(
        "pxor xmm0, xmm0", "pxor xmm1, xmm1", "pxor xmm2, xmm2", "pxor xmm3, xmm3",
        "pxor xmm4, xmm4", "pxor xmm5, xmm5", "pxor xmm6, xmm6", "pxor xmm7, xmm7",
        "pxor xmm8, xmm8", "pxor xmm9, xmm9", "pxor xmm10, xmm10", "pxor xmm11, xmm11",
        "pxor xmm12, xmm12", "pxor xmm13, xmm13", "pxor xmm14, xmm14", "pxor xmm15, xmm15";
    );
}

/// Has this process leave no core dumps, whatever the system's settings: a dump in the
/// middle of an encryption holds what that has in its registers. On Linux other processes
/// of the same user can then not attach to this one either.
///
/// For programs that are their own; `kms` calls it. A library does not decide that.
pub fn forbid_core_dumps() {
    #[cfg(target_os = "linux")]
    // SAFETY: changes an attribute of this process; takes no pointers.
    unsafe {
        libc::prctl(libc::PR_SET_DUMPABLE, 0);
    }
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: reads one rlimit, which is ours.
    unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a pattern that `work`, which was given room for them below, has left there.
    fn left(work: fn(fn() -> *const u8) -> *const u8) -> usize {
        const BYTES: usize = 3000;
        let lowest = work(|| std::hint::black_box(&mut [0xa5u8; BYTES]).as_ptr());
        // SAFETY: the stack was that deep a moment ago, and its pages stay mapped.
        (0..BYTES).filter(|i| unsafe { lowest.add(*i).read_volatile() } == 0xa5).count()
    }

    #[test]
    fn the_stack_below_is_wiped() {
        assert!(left(apart) > 1000, "this test sees what stays");
        assert_eq!(left(without_residue_below::<4096, _>), 0);
        assert_eq!(left(without_residue), 0);
    }

    #[test]
    fn every_way_to_wipe_registers_runs_here_or_is_not_for_this_processor() {
        assert_eq!(without_residue(|| 7), 7);
        #[cfg(target_arch = "x86_64")]
        {
            wipe_xmm();
            if std::is_x86_feature_detected!("avx") {
                // SAFETY: the feature was detected.
                unsafe { wipe_ymm() };
            }
        }
    }
}
