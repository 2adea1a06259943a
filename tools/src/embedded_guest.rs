//! The embedded guest: the kernel that `reprise run` boots when no kernel is named.
//!
//! Its sources are in `tools/guest`; `build.rs` compiles them with the host's C compiler.

/// The guest's image: a multiboot-1 kernel in an ELF32 container.
pub static KERNEL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guest.elf"));

#[cfg(test)]
mod tests {
    use super::KERNEL;

    /// Multiboot Specification 0.6.96, 3.1.1 "The layout of Multiboot header".
    #[test]
    fn carries_a_multiboot_header_in_an_elf32_container() {
        assert_eq!(KERNEL[..5], *b"\x7fELF\x01");
        let word = |at: usize| u32::from_le_bytes(KERNEL[at..at + 4].try_into().unwrap());
        let header = (0..8192).step_by(4).find(|&at| word(at) == 0x1bad_b002).expect("header");
        assert_eq!(word(header).wrapping_add(word(header + 4)).wrapping_add(word(header + 8)), 0);
    }

    #[test]
    fn names_no_path_of_the_machine_it_was_built_on() {
        let folder = env!("CARGO_MANIFEST_DIR").as_bytes();
        assert!(!KERNEL.windows(folder.len()).any(|bytes| bytes == folder));
    }
}
