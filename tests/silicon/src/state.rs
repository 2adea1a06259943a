//! What goes into a run and what comes out of it.

/// The RFLAGS bits a sequence works with: CF, PF, AF, ZF, SF, DF and OF.
pub const STATUS_FLAGS: u64 = 0xcd5;

const RESERVED_AND_IF: u64 = 0x202;

/// All that user-mode code up to AVX2 can see of a processor, segment registers aside.
#[derive(Clone, PartialEq, Eq)]
pub struct UserState {
    /// rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 to r15: the order of the encoding.
    pub gpr: [u64; 16],
    /// The next instruction; in a fault, the one that faulted (or, for a trap, the one after it).
    pub rip: u64,
    /// Only [`STATUS_FLAGS`] are taken in; bit 1 and IF are always set, RF is never reported.
    pub rflags: u64,
    /// x87, MMX, XMM and MXCSR as `fxsave64` lays them out. SDM volume 1, 10.5.1 FXSAVE Area.
    pub fx: [u8; 512],
    /// The upper halves of the YMM registers; zero on a processor without AVX.
    pub high: [u128; 16],
}

impl UserState {
    /// Registers zero; x87 as after `fninit`, MXCSR as at power-on.
    #[must_use]
    pub fn new(rip: u64) -> Self {
        let mut state = Self { gpr: [0; 16], rip, rflags: RESERVED_AND_IF, fx: [0; 512], high: [0; 16] };
        state.set_fcw(0x037f);
        state.set_mxcsr(0x1f80);
        state
    }

    /// RFLAGS with what a sequence may not change put back.
    #[must_use]
    pub const fn sane_rflags(rflags: u64) -> u64 {
        rflags & STATUS_FLAGS | RESERVED_AND_IF
    }

    /// The x87 control word.
    #[must_use]
    pub fn fcw(&self) -> u16 {
        u16::from_le_bytes([self.fx[0], self.fx[1]])
    }

    /// Sets the x87 control word.
    pub fn set_fcw(&mut self, fcw: u16) {
        self.fx[0..2].copy_from_slice(&fcw.to_le_bytes());
    }

    /// The x87 status word.
    #[must_use]
    pub fn fsw(&self) -> u16 {
        u16::from_le_bytes([self.fx[2], self.fx[3]])
    }

    /// Sets the x87 status word.
    pub fn set_fsw(&mut self, fsw: u16) {
        self.fx[2..4].copy_from_slice(&fsw.to_le_bytes());
    }

    /// The abridged tag byte: a bit for each physical register that is not empty.
    #[must_use]
    pub fn ftw(&self) -> u8 {
        self.fx[4]
    }

    /// Sets the abridged tag byte.
    pub fn set_ftw(&mut self, ftw: u8) {
        self.fx[4] = ftw;
    }

    /// MXCSR.
    #[must_use]
    pub fn mxcsr(&self) -> u32 {
        u32::from_le_bytes([self.fx[24], self.fx[25], self.fx[26], self.fx[27]])
    }

    /// Sets MXCSR.
    pub fn set_mxcsr(&mut self, mxcsr: u32) {
        self.fx[24..28].copy_from_slice(&mxcsr.to_le_bytes());
    }

    /// The 80 bits of ST(i).
    #[must_use]
    pub fn st(&self, i: usize) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes.copy_from_slice(&self.fx[32 + 16 * i..42 + 16 * i]);
        bytes
    }

    /// Sets the 80 bits of ST(i).
    pub fn set_st(&mut self, i: usize, bytes: [u8; 10]) {
        self.fx[32 + 16 * i..42 + 16 * i].copy_from_slice(&bytes);
    }

    /// XMM register i.
    #[must_use]
    pub fn xmm(&self, i: usize) -> u128 {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.fx[160 + 16 * i..176 + 16 * i]);
        u128::from_le_bytes(bytes)
    }

    /// Sets XMM register i.
    pub fn set_xmm(&mut self, i: usize, value: u128) {
        self.fx[160 + 16 * i..176 + 16 * i].copy_from_slice(&value.to_le_bytes());
    }

    /// Clears what differs between processors that are both right: the x87 opcode and instruction and data
    /// pointers (some keep them only at an unmasked exception), `MXCSR_MASK`, and the reserved bytes.
    pub fn clear_processor_specific(&mut self) {
        self.fx[6..24].fill(0);
        self.fx[28..32].fill(0);
        for i in 0..8 {
            self.fx[42 + 16 * i..48 + 16 * i].fill(0);
        }
        self.fx[416..].fill(0);
    }
}

/// How a run ended.
#[derive(Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The sequence ran to its end.
    Done(UserState),
    /// An exception stopped it.
    Fault(Fault),
    /// It did not come to an end; how far it came depends on the host's speed, so no state is given.
    Endless,
}

/// An exception, with the state the handler would see.
#[derive(Clone, PartialEq, Eq)]
pub struct Fault {
    /// The exception's vector: 0 for #DE, 6 for #UD, 13 for #GP, 14 for #PF ...
    pub vector: u8,
    /// The error code; 0 for a vector that has none. A user-mode page fault on a kernel address is
    /// reported by the host's kernel as a protection violation whatever its tables say; here its P bit is clear.
    pub error_code: u32,
    /// CR2, for #PF alone.
    pub address: Option<u64>,
    /// The state at the exception.
    pub state: UserState,
}
