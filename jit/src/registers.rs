//! Where the guest's registers are while native code runs.
//!
//! Most general-purpose registers are their own namesakes, so that instructions with implied registers (`mul`, `shl cl`,
//! `cmpxchg`) need no moves. The host's stack pointer stays the emulator's: it is the *anchor*, the address of the
//! current TLB table's entries, below which lie sixteen slots of eight bytes. Those 128 bytes are the ABI's red zone
//! (System V ABI, AMD64 supplement, 3.2.2 The Stack Frame): signals leave them alone. Vector registers are number for
//! number the guest's.

use iced_x86::Register;
use reprise_core::interp::table::WORDS_OFFSET;

/// Host register that holds the guest's `rsp`.
pub const STACK: Register = Register::R8;
/// First scratch register: addresses.
pub const SCRATCH: Register = Register::R9;
/// Second scratch register: TLB indices, jump targets.
pub const SECOND_SCRATCH: Register = Register::R10;
/// Host register with the budget: the instructions that may still retire.
pub const BUDGET: Register = Register::R11;

/// Eight bytes under the anchor that have a use of their own.
///
/// The number is the distance from the anchor: slot k is at `[rsp - 8 * k]`, so that its displacement is one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Slot {
    /// The guest's `r8`.
    R8 = 1,
    /// The guest's `r9`.
    R9 = 2,
    /// The guest's `r10`.
    R10 = 3,
    /// The guest's `r11`.
    R11 = 4,
    /// Linear address of the page that the running code is on.
    Page = 5,
    /// The guest's FS base.
    FsBase = 6,
    /// The guest's GS base.
    GsBase = 7,
    /// Which operation set the flags last (32 bits), and above it flags as `lahf` and `seto al` leave them in `ax` (16 bits).
    FlagsKind = 8,
    /// First value of that operation.
    FlagsA = 9,
    /// Second value of that operation.
    FlagsB = 10,
    /// Linear address that native code leaves with.
    Address = 11,
    /// Result of an INC or DEC after that operation.
    FlagsTop = 12,
    /// The guest's MXCSR (32 bits).
    Mxcsr = 13,
    /// The host's stack pointer, as the entry thunk left it.
    HostRsp = 14,
    /// Pointer to the guest's register file.
    Registers = 15,
    /// Pointer to the guest's vector registers.
    Vectors = 16,
}

impl Slot {
    /// Its displacement from the anchor, which is `rsp`.
    pub const fn displacement(self) -> i32 {
        -8 * self as i32
    }

    /// Its index in a table's array of slots, which ends at the anchor.
    pub const fn index(self) -> usize {
        16 - self as usize
    }
}

/// Eight bytes behind the jump cache that have a use of their own: what is used less than the slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Word {
    /// What a later part of the same instruction needs.
    Target = 0,
    /// IF, where RFLAGS has it.
    Interrupt = 1,
    /// DF, where RFLAGS has it.
    Direction = 2,
    /// The rest of RFLAGS without status flags, RF and VM.
    OtherFlags = 3,
    /// The base that SWAPGS exchanges for the one of GS.
    KernelGsBase = 4,
    /// The anchor of the table for the other value of RFLAGS.AC.
    OtherAnchor = 5,
    /// 1 in the table that is the current one, 0 in one that was.
    Active = 6,
    /// How far the host's address of a window's first byte is from its base register (`translate::window`).
    Distance0 = 8,
    /// The same for another window.
    Distance1 = 9,
    /// The same for another window.
    Distance2 = 10,
    /// The same for another window.
    Distance3 = 11,
}

impl Word {
    /// Its displacement from the anchor, which is `rsp`.
    pub const fn displacement(self) -> i32 {
        WORDS_OFFSET as i32 + 8 * self as i32
    }

    /// Its index in a table's array of words.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Where a guest register is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a host register, of 64 bits.
    Host(Register),
    /// In memory, under the anchor.
    Slot(Slot),
}

/// Where each of the guest's general-purpose registers is, by number.
pub const PLACES: [Place; 16] = [
    Place::Host(Register::RAX),
    Place::Host(Register::RCX),
    Place::Host(Register::RDX),
    Place::Host(Register::RBX),
    Place::Host(STACK),
    Place::Host(Register::RBP),
    Place::Host(Register::RSI),
    Place::Host(Register::RDI),
    Place::Slot(Slot::R8),
    Place::Slot(Slot::R9),
    Place::Slot(Slot::R10),
    Place::Slot(Slot::R11),
    Place::Host(Register::R12),
    Place::Host(Register::R13),
    Place::Host(Register::R14),
    Place::Host(Register::R15),
];

/// Where a guest's general-purpose register is, or the one that it is part of.
pub fn host_of(guest: Register) -> Place {
    let full = guest.full_register();
    assert!(full.is_gpr64(), "{guest:?} is no general-purpose register");
    PLACES[full.number()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_register_are_where_the_whole_is() {
        assert_eq!(host_of(Register::AH), Place::Host(Register::RAX));
        assert_eq!(host_of(Register::SPL), Place::Host(Register::R8));
        assert_eq!(host_of(Register::ESP), Place::Host(Register::R8));
        assert_eq!(host_of(Register::R9W), Place::Slot(Slot::R9));
        assert_eq!(host_of(Register::R15D), Place::Host(Register::R15));
    }

    #[test]
    fn no_two_guest_registers_share_a_place_or_take_a_scratch_register() {
        for (number, place) in PLACES.iter().enumerate() {
            assert!(!PLACES[..number].contains(place), "{place:?} twice");
            for taken in [SCRATCH, SECOND_SCRATCH, BUDGET, Register::RSP] {
                assert_ne!(*place, Place::Host(taken));
            }
        }
    }

    #[test]
    fn slots_fill_the_red_zone() {
        assert_eq!((Slot::R8.displacement(), Slot::R8.index()), (-8, 15));
        assert_eq!((Slot::Vectors.displacement(), Slot::Vectors.index()), (-128, 0));
    }
}
