//! What a debugger changes in a machine.

use crate::board::Board;
use crate::cpu::Register;
use crate::memory::PAGE_SIZE;
use serde::{Deserialize, Serialize};

/// Longest change of memory in bytes.
pub const EDIT_LIMIT: usize = 64 << 10;

/// A change that a debugger makes at an instruction boundary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Edit {
    /// Puts a value into a register of a vCPU.
    Register {
        /// Which vCPU.
        cpu: u32,
        /// Which register.
        register: Register,
        /// Its new value; what exceeds the register's width does not count, nor do bits that it does not have.
        value: u128,
    },
    /// Writes to memory as a device would.
    Memory {
        /// The physical address.
        address: u64,
        /// What is written; at most [`EDIT_LIMIT`] bytes.
        bytes: Vec<u8>,
    },
}

/// Why a machine cannot make a change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It has no such vCPU.
    #[error("there is no vCPU {cpu}: the machine has {cpus}, from 0 on")]
    Cpu {
        /// Which one.
        cpu: u32,
        /// How many there are.
        cpus: usize,
    },
    /// No vCPU has such a register.
    #[error("no vCPU has the register {register}")]
    Register {
        /// Which one.
        register: Register,
    },
    /// It is too much for one change.
    #[error("a change of {length} bytes of memory is too long: make changes of at most {EDIT_LIMIT}")]
    Length {
        /// Its bytes.
        length: usize,
    },
    /// There is no RAM.
    #[error("no RAM answers at {address:#018x}, so nothing can be written there")]
    Address {
        /// The first such address.
        address: u64,
    },
}

impl Edit {
    /// Whether a machine with this board can make it.
    pub fn check(&self, board: &Board) -> Result<(), EditError> {
        match *self {
            Self::Register { cpu, register, value: _ } => check_register(cpu, register, board.apics.len()),
            Self::Memory { address: _, bytes: ref data } if data.len() > EDIT_LIMIT => {
                Err(EditError::Length { length: data.len() })
            }
            Self::Memory { address, ref bytes } => match first_without_ram(board, address, bytes.len() as u64) {
                Some(address) => Err(EditError::Address { address }),
                None => Ok(()),
            },
        }
    }
}

fn check_register(cpu: u32, register: Register, cpus: usize) -> Result<(), EditError> {
    if cpu as usize >= cpus {
        return Err(EditError::Cpu { cpu, cpus });
    }
    if !register.exists() {
        return Err(EditError::Register { register });
    }
    Ok(())
}

/// The first of `length` addresses from `address` on at which no RAM answers. RAM is whole pages; past the last address
/// of all there is none.
fn first_without_ram(board: &Board, address: u64, length: u64) -> Option<u64> {
    let mut left = length;
    let mut at = Some(address);
    while left > 0 {
        let Some(next) = at else { return Some(u64::MAX) };
        if board.ram_offset(next).is_none() {
            return Some(next);
        }
        let part = left.min(PAGE_SIZE - next % PAGE_SIZE);
        (left, at) = (left - part, next.checked_add(part));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::{HIGH_RAM_START, LOW_RAM_END, VGA_WINDOW};

    #[track_caller]
    fn check(board: &Board, edit: &Edit, expected: Option<&str>) {
        let found = edit.check(board).map_err(|error| error.to_string());
        match expected {
            None => assert_eq!(found, Ok(())),
            Some(part) => assert!(found.as_ref().is_err_and(|text| text.contains(part)), "{found:?}"),
        }
    }

    #[test]
    fn memory_is_ram_and_not_too_much_of_it() {
        let small = Board::new(2 << 20, 1).unwrap();
        let large = Board::new(LOW_RAM_END + (1 << 20), 1).unwrap();
        let write = |address, length| Edit::Memory { address, bytes: vec![0; length] };
        check(&small, &write(0, EDIT_LIMIT), None);
        check(&small, &write(0, EDIT_LIMIT + 1), Some("65537 bytes"));
        check(&small, &write((2 << 20) - 1, 1), None);
        check(&small, &write((2 << 20) - 1, 2), Some("0x0000000000200000"));
        check(&small, &write(VGA_WINDOW.start - 1, 2), Some("0x00000000000a0000"));
        check(&small, &write(u64::MAX, 0), None);
        check(&small, &write(u64::MAX, 2), Some("0xffffffffffffffff"));
        check(&large, &write(HIGH_RAM_START - 1, 2), Some("0x00000000ffffffff"));
        check(&large, &write(HIGH_RAM_START, EDIT_LIMIT), None);
    }

    #[test]
    fn registers_are_of_vcpus_that_there_are() {
        let board = Board::new(1 << 20, 2).unwrap();
        let write = |cpu, register| Edit::Register { cpu, register, value: 1 };
        check(&board, &write(1, Register::General(15)), None);
        check(&board, &write(2, Register::Rip), Some("there is no vCPU 2: the machine has 2"));
        check(&board, &write(0, Register::General(16)), Some("no vCPU has the register r16"));
        check(&board, &write(0, Register::St(8)), Some("the register st8"));
        check(&board, &write(u32::MAX, Register::Xmm(u8::MAX)), Some("no vCPU 4294967295"));
    }
}
