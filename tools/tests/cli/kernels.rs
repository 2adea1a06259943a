//! The smallest kernels there are: multiboot ELF files of a few instructions, by hand.

use std::path::{Path, PathBuf};

/// Where the segment, which starts with the multiboot header, is loaded.
const LOAD: u32 = 0x10_0000;
/// Bytes of the ELF header and one program header.
const HEADERS: u32 = 52 + 32;
/// Bytes of the multiboot header.
const MULTIBOOT: u32 = 12;

/// `mov al, 3; out 0xf4, al; hlt`: status 7 of an isa-debug-exit at 0xf4.
pub(crate) const DEBUG_EXIT: &[u8] = &[0xb0, 0x03, 0xe6, 0xf4, 0xf4];
/// `cli; hlt`.
pub(crate) const HALT: &[u8] = &[0xfa, 0xf4];
/// `push 0; push 0; lidt [esp]; ud2`: no handler can be found for any exception.
pub(crate) const TRIPLE_FAULT: &[u8] = &[0xbc, 0, 0, 0x20, 0, 0x6a, 0, 0x6a, 0, 0x0f, 0x01, 0x1c, 0x24, 0x0f, 0x0b];
/// `mov dx, 0xcf9; mov al, 6; out dx, al; hlt`: a reset by the reset control register.
pub(crate) const RESET: &[u8] = &[0x66, 0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee, 0xf4];
/// `mov dx, 0x505; mov al, 1; out dx, al; hlt`: a panic by pvpanic.
pub(crate) const PANIC: &[u8] = &[0x66, 0xba, 0x05, 0x05, 0xb0, 0x01, 0xee, 0xf4];
/// `mov dx, 0x3f8; mov al, '.'; a: out dx, al; jmp a`.
pub(crate) const CHATTER: &[u8] = &[0x66, 0xba, 0xf8, 0x03, 0xb0, b'.', 0xee, 0xeb, 0xfd];
/// `a: mov dx, 0x3fd; in al, dx; test al, 1; jz a; mov dx, 0x3f8; in al, dx; out dx, al; jmp a`: sends back what comes.
pub(crate) const ECHO: &[u8] =
    &[0x66, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xf7, 0x66, 0xba, 0xf8, 0x03, 0xec, 0xee, 0xeb, 0xef];

/// The same at 115200 baud: `mov dx, 0x3fb; mov al, 0x83; out dx, al; mov dx, 0x3f8; mov al, 1; out dx, al;
/// mov dx, 0x3fb; mov al, 3; out dx, al` comes first.
pub(crate) const FAST_ECHO: &[u8] = &[
    0x66, 0xba, 0xfb, 0x03, 0xb0, 0x83, 0xee, 0x66, 0xba, 0xf8, 0x03, 0xb0, 0x01, 0xee, 0x66, 0xba, 0xfb, 0x03, 0xb0,
    0x03, 0xee, 0x66, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xf7, 0x66, 0xba, 0xf8, 0x03, 0xec, 0xee, 0xeb, 0xef,
];

/// An ELF32 multiboot kernel whose entry is `code` (Multiboot Specification 0.6.96, 3.1 OS image format).
pub(crate) fn multiboot(code: &[u8]) -> Vec<u8> {
    let size = HEADERS + MULTIBOOT + code.len() as u32;
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let halves = |file: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
    let words = |file: &mut Vec<u8>, values: &[u32]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
    halves(&mut file, &[2, 3]);
    words(&mut file, &[1, LOAD + HEADERS + MULTIBOOT, 52, 0, 0]);
    halves(&mut file, &[52, 32, 1, 0, 0, 0]);
    words(&mut file, &[1, 0, LOAD, LOAD, size, size, 7, 0x1000]);
    words(&mut file, &[0x1bad_b002, 0, 0x1bad_b002u32.wrapping_neg()]);
    file.extend(code);
    file
}

/// Writes `bytes` into a file of `folder`.
pub(crate) fn file(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("the folder can be written");
    path
}
