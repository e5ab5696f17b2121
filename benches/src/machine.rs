//! The processor: its name, what it can do at most, and whether others disturb it.
use std::{
    arch::{
        asm,
        x86_64::{__m128i, __m256i, __m512i, _mm_lfence, _rdtsc},
    },
    fs,
    hint::black_box,
};

/// How wide the vectors of a path are.
#[derive(Clone, Copy)]
pub enum Width {
    Bits128,
    Bits256,
    Bits512,
}

impl Width {
    /// `None` for kernels in portable code.
    pub fn of_path(path: &str) -> Option<Self> {
        let (width, is_here) = match path {
            "aesni" => (Self::Bits128, is_x86_feature_detected!("aes") && is_x86_feature_detected!("avx")),
            "vaes256" => {
                (Self::Bits256, is_x86_feature_detected!("vaes") && is_x86_feature_detected!("avx2"))
            }
            "vaes512" => {
                (Self::Bits512, is_x86_feature_detected!("vaes") && is_x86_feature_detected!("avx512bw"))
            }
            _ => return None,
        };
        // The functions below rely on it.
        is_here.then_some(width)
    }

    fn bytes(self) -> usize {
        match self {
            Self::Bits128 => 16,
            Self::Bits256 => 32,
            Self::Bits512 => 64,
        }
    }
}

/// As the system calls the processor; family and model, since several go by one name.
pub fn name() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.split(':').next().unwrap().trim() == name)?;
        Some(line.split(':').nth(1)?.trim())
    };
    match (field("model name"), field("cpu family"), field("model")) {
        (Some(name), Some(family), Some(model)) => format!("{name} (family {family}, model {model})"),
        _ => "unknown processor".into(),
    }
}

/// The 14 rounds of AES-256 for so many bytes, and nothing else.
pub fn aes_rounds(width: Width, bytes: usize) {
    let times = (14 * bytes / width.bytes()).div_ceil(16);
    // Sixteen rounds that do not wait for one another.
    macro_rules! rounds {
        ($r:literal) => {
            // SAFETY: `of_path` found the instruction here. It changes vector registers only,
            // all of them named below.
            unsafe {
                asm!(
                    "2:",
                    ".irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
                    concat!("vaesenc ", $r, "\\i, ", $r, "\\i, ", $r, "\\i"),
                    ".endr",
                    "dec {n}",
                    "jnz 2b",
                    n = inout(reg) times => _,
                    out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                    out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _,
                    out("xmm11") _, out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                    options(nomem, nostack),
                );
            }
        };
    }
    match width {
        Width::Bits128 => rounds!("xmm"),
        Width::Bits256 => rounds!("ymm"),
        Width::Bits512 => rounds!("zmm"),
    }
}

/// Reads and writes all bytes in place.
pub fn through_memory(width: Width, data: &mut [u8]) {
    match width {
        Width::Bits128 => invert::<__m128i>(data),
        // SAFETY: `of_path` found AVX2 here.
        Width::Bits256 => unsafe { invert_256(data) },
        // SAFETY: `of_path` found AVX-512 here.
        Width::Bits512 => unsafe { invert_512(data) },
    }
}

/// # Safety
/// The processor has AVX2.
#[target_feature(enable = "avx2")]
unsafe fn invert_256(data: &mut [u8]) {
    invert::<__m256i>(data);
}

/// # Safety
/// The processor has these features of AVX-512.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn invert_512(data: &mut [u8]) {
    invert::<__m512i>(data);
}

/// The compiler makes vectors of it, as wide as its caller may.
#[inline(always)]
fn invert<V>(data: &mut [u8]) {
    for chunk in data.chunks_exact_mut(size_of::<V>()) {
        chunk.iter_mut().for_each(|byte| *byte = !*byte);
    }
    black_box(data);
}

/// How long simple instructions take that could run at once, by how long a chain takes that
/// cannot: the clock of the core does not matter, one who shares the core does.
pub fn probe() -> f64 {
    let (begin, mut n) = (ticks(), 40u64);
    // SAFETY: only registers change that are named.
    unsafe {
        asm!("2:", ".rept 32", "imul {x}, {x}", ".endr", "dec {n}", "jnz 2b",
            x = inout(reg) 3u64 => _, n = inout(reg) n, options(nomem, nostack));
    }
    let middle = ticks();
    n += 40;
    // SAFETY: only the register changes that is named.
    unsafe {
        asm!("2:", ".rept 255", "nop", ".endr", "dec {n}", "jnz 2b",
            n = inout(reg) n => _, options(nomem, nostack));
    }
    (ticks() - middle) as f64 / (middle - begin) as f64
}

/// When everything before is done.
fn ticks() -> u64 {
    // SAFETY: every x86-64 has both instructions.
    unsafe {
        _mm_lfence();
        let now = _rdtsc();
        _mm_lfence();
        now
    }
}
