//! What a debugger changes in a machine.

use crate::cpu::Register;
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
