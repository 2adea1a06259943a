//! Exceptions: what a fault of the guest is. They are data, not errors.

/// Exception vectors (SDM vol. 3, table 6-1 Protected-Mode Exceptions and Interrupts).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Vector {
    DivideError = 0,
    Debug = 1,
    Nmi = 2,
    Breakpoint = 3,
    Overflow = 4,
    BoundRange = 5,
    InvalidOpcode = 6,
    DeviceNotAvailable = 7,
    DoubleFault = 8,
    InvalidTss = 10,
    SegmentNotPresent = 11,
    StackFault = 12,
    GeneralProtection = 13,
    PageFault = 14,
    X87Error = 16,
    AlignmentCheck = 17,
    SimdError = 19,
}

/// An exception that an instruction raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Which.
    pub vector: Vector,
    /// The error code, of those that push one.
    pub code: u32,
    /// For a page fault the linear address, for a debug exception the bits for DR6.
    pub info: u64,
}

impl Exception {
    /// An exception without further information.
    pub const fn new(vector: Vector) -> Self {
        Self { vector, code: 0, info: 0 }
    }

    /// An exception with an error code.
    pub const fn with_code(vector: Vector, code: u32) -> Self {
        Self { vector, code, info: 0 }
    }

    /// General protection with an error code.
    pub const fn gp(code: u32) -> Self {
        Self::with_code(Vector::GeneralProtection, code)
    }

    /// Invalid opcode.
    pub const fn ud() -> Self {
        Self::new(Vector::InvalidOpcode)
    }

    /// A page fault at `address`.
    pub const fn page_fault(code: u32, address: u64) -> Self {
        Self { vector: Vector::PageFault, code, info: address }
    }

    /// A debug exception with these bits for DR6.
    pub const fn debug(dr6: u64) -> Self {
        Self { vector: Vector::Debug, code: 0, info: dr6 }
    }

    /// Whether the exception pushes an error code in protected mode.
    pub const fn has_code(&self) -> bool {
        matches!(
            self.vector,
            Vector::DoubleFault
                | Vector::InvalidTss
                | Vector::SegmentNotPresent
                | Vector::StackFault
                | Vector::GeneralProtection
                | Vector::PageFault
                | Vector::AlignmentCheck
        )
    }
}
