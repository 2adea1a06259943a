//! Where a sequence finds its code and its data, for the host's processor as for any other that runs it.
//!
//! Both areas lie below 4 GiB, so that 32-bit addresses reach them, and around both nothing is mapped.

/// Address of the code page; a sequence starts at its first byte. It can be read and executed.
pub const CODE_BASE: u64 = 0x2000_0000;

/// Length of the code page.
pub const CODE_PAGE_LEN: usize = 0x1000;

/// Longest sequence.
pub const MAX_CODE_LEN: usize = 0x400;

/// Address of the data area. It can be read and written.
pub const DATA_BASE: u64 = 0x2010_0000;

/// Length of the data area.
pub const DATA_LEN: usize = 0x4000;

/// Address of a page that can be read: it holds the address that the jump at a sequence's end goes to.
/// No round number: displacements that sequences make up seldom reach it.
pub const EXIT_PAGE: u64 = CODE_BASE + 0x1b_7000;

/// Everything here belongs to the sandbox; what is not one of its pages faults.
pub(crate) const RESERVED_BASE: u64 = CODE_BASE - 0x10_0000;
pub(crate) const RESERVED_LEN: usize = 0x40_0000;

const INT3: u8 = 0xcc;

/// The code page while `code` runs: the sequence, the jump that ends it, and `int3` to the end. Another processor
/// that runs the sequence needs the same bytes, as the sequence can read them; it stops at `code.len()`.
///
/// # Panics
///
/// If the sequence is longer than [`MAX_CODE_LEN`].
#[must_use]
pub fn code_page(code: &[u8]) -> [u8; CODE_PAGE_LEN] {
    let mut page = [INT3; CODE_PAGE_LEN];
    write_code(&mut page, code);
    page
}

/// Puts a sequence and its ending into a page, with `int3` up to the end of the longest sequence.
pub(crate) fn write_code(page: &mut [u8], code: &[u8]) {
    assert!(code.len() <= MAX_CODE_LEN, "a sequence of {} bytes is too long", code.len());
    let ending = exit_jump(code.len());
    let end = code.len() + ending.len();
    page[..code.len()].copy_from_slice(code);
    page[code.len()..end].copy_from_slice(&ending);
    page[end..MAX_CODE_LEN + ending.len()].fill(INT3);
}

/// `jmp qword ptr [rip + ...]` through the exit page: it changes no register and no flag.
fn exit_jump(offset: usize) -> [u8; 6] {
    let next = CODE_BASE + offset as u64 + 6;
    let displacement = u32::try_from(EXIT_PAGE - next).expect("the exit page is near the code page");
    let mut jump = [0xff, 0x25, 0, 0, 0, 0];
    jump[2..].copy_from_slice(&displacement.to_le_bytes());
    jump
}
