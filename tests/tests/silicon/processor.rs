//! Single instructions of this processor.

use std::sync::LazyLock;

use reprise_core::softfloat::F80;

/// What an instruction works on; the assembly below knows the offsets.
#[repr(C, align(16))]
#[derive(Clone, Copy, Default)]
pub(super) struct Frame {
    /// Offset 0: ST(0) or XMM0 before.
    pub(super) a: [u8; 16],
    /// Offset 16: ST(1) or XMM1 before.
    pub(super) b: [u8; 16],
    /// Offset 32: an operand in memory.
    pub(super) memory: [u8; 16],
    /// Offset 48: ST(0) or XMM0 after.
    pub(super) top: [u8; 16],
    /// Offset 64: ST(1) after.
    pub(super) next: [u8; 16],
    /// Offset 80: the control word, or MXCSR, to work with; MXCSR after.
    pub(super) control: u32,
    /// Offset 84: the control word, or MXCSR, to leave behind.
    pub(super) default: u32,
    /// Offset 88: the status word, or a general register.
    pub(super) status: u64,
    /// Offset 96: XMM2 before.
    pub(super) c: [u8; 16],
}

/// The instruction on a frame.
pub(super) type Run = fn(&mut Frame);

/// An x87 instruction with `a` in ST(0), `b` in ST(1) and the frame's address in `rdi`.
macro_rules! x87 {
    ($($instruction:literal),+) => {{
        fn run(frame: &mut $crate::silicon::processor::Frame) {
            // SAFETY: the frame is borrowed and has every offset that is used; all x87 registers
            // are declared lost, and the stack is left empty and the control word as the compiler
            // expects it.
            unsafe {
                core::arch::asm!(
                    "fninit",
                    "fld tbyte ptr [rdi + 16]",
                    "fld tbyte ptr [rdi]",
                    "fldcw [rdi + 80]",
                    $($instruction,)+
                    "fnstsw [rdi + 88]",
                    "fnclex",
                    "fldcw [rdi + 84]",
                    "fstp tbyte ptr [rdi + 48]",
                    "fstp tbyte ptr [rdi + 64]",
                    "fninit",
                    in("rdi") frame,
                    out("rax") _,
                    out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                    out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
                    options(nostack),
                );
            }
        }
        run as $crate::silicon::processor::Run
    }};
}
pub(super) use x87;

/// An SSE instruction with `a`, `b`, `c` in XMM0 to XMM2, its result in XMM0 and RAX.
macro_rules! sse {
    ($($instruction:literal),+) => {{
        fn run(frame: &mut $crate::silicon::processor::Frame) {
            // SAFETY: the frame is borrowed, aligned and has every offset that is used; MXCSR is
            // left as the compiler expects it. The caller asked whether the processor has the
            // instruction.
            unsafe {
                core::arch::asm!(
                    "ldmxcsr [rdi + 80]",
                    "movaps xmm0, [rdi]",
                    "movaps xmm1, [rdi + 16]",
                    "movaps xmm2, [rdi + 96]",
                    "mov rax, [rdi + 88]",
                    $($instruction,)+
                    "stmxcsr [rdi + 80]",
                    "ldmxcsr [rdi + 84]",
                    "movaps [rdi + 48], xmm0",
                    "mov [rdi + 88], rax",
                    in("rdi") frame,
                    out("rax") _,
                    out("xmm0") _, out("xmm1") _, out("xmm2") _,
                    options(nostack),
                );
            }
        }
        run as $crate::silicon::processor::Run
    }};
}
pub(super) use sse;

/// Sixteen bytes that begin with the number.
pub(super) fn extended_bytes(number: F80) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..10].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// The extended number that sixteen bytes begin with.
pub(super) fn extended(bytes: [u8; 16]) -> F80 {
    let mut ten = [0; 10];
    ten.copy_from_slice(&bytes[..10]);
    F80::from_le_bytes(ten)
}

/// Sixteen bytes that begin with the number.
pub(super) fn low_bytes(number: u64) -> [u8; 16] {
    u128::from(number).to_le_bytes()
}

/// The number that sixteen bytes begin with.
pub(super) fn low(bytes: [u8; 16]) -> u64 {
    u128::from_le_bytes(bytes) as u64
}

/// True on the processors whose answers are ours everywhere. Asked once, because CPUID is slow
/// in a virtual machine.
pub(super) fn is_intel() -> bool {
    static INTEL: LazyLock<bool> = LazyLock::new(|| {
        let leaf = core::arch::x86_64::__cpuid(0);
        [leaf.ebx, leaf.edx, leaf.ecx] == [0x756e_6547, 0x4965_6e69, 0x6c65_746e]
    });
    *INTEL
}
