use super::*;
use reprise_core::cpu::model::MODELS;
use reprise_core::cpu::{Segment, reg, seg};
use reprise_frontend::pc::{self, PcConfig};

const RAM: u64 = 32 << 20;

/// A file of the host that goes away with its guard.
struct Scratch(tempfile::NamedTempFile);

impl Scratch {
    fn new(bytes: &[u8]) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        Self(file)
    }

    fn name(&self) -> String {
        self.0.path().display().to_string()
    }
}

fn boot_with(request: &Request) -> Result<BootImage, BootError> {
    let mut board = Board::new(RAM, 1).unwrap();
    let pc = pc::build(&mut board, &PcConfig::default()).unwrap();
    load(request, &mut files::HostFiles, &board, &pc, &MODELS[0])
}

fn request(kernel: &'static [u8]) -> Request {
    Request {
        kernel: Some(Source::BuiltIn { name: "kernel", bytes: kernel }),
        command_line: "a=b".into(),
        ..Request::default()
    }
}

fn boot(kernel: &[u8]) -> Result<BootImage, BootError> {
    boot_with(&request(kernel.to_vec().leak()))
}

/// The bytes at `address` of what is in memory at the start.
fn memory(image: &BootImage, address: u64, size: usize) -> Vec<u8> {
    let holds =
        |(start, bytes): &&(u64, Vec<u8>)| *start <= address && address + size as u64 <= start + bytes.len() as u64;
    let (start, bytes) = image.memory.iter().find(holds).unwrap_or_else(|| panic!("nothing at {address:#x}"));
    bytes[(address - start) as usize..][..size].to_vec()
}

fn number(image: &BootImage, address: u64, size: usize) -> u64 {
    memory(image, address, size).iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

fn text(image: &BootImage, address: u64) -> String {
    let bytes = (address..).map(|at| number(image, at, 1) as u8).take_while(|&byte| byte != 0);
    String::from_utf8(bytes.collect()).unwrap()
}

fn put(bytes: &mut [u8], offset: usize, value: u64, size: usize) {
    bytes[offset..offset + size].copy_from_slice(&value.to_le_bytes()[..size]);
}

/// A bzImage of protocol 2.15 with a kernel of 0x1000 bytes.
fn bzimage() -> Vec<u8> {
    let mut file = vec![0; 0x400 + 0x1000];
    for (offset, value, size) in [
        (0x1f1, 1, 1),
        (0x1f4, 0x100, 4),
        (0x1fe, 0xaa55, 2),
        (0x200, 0x6aeb, 2),
        (0x202, 0x5372_6448, 4),
        (0x206, 0x20f, 2),
        (0x211, 1, 1),
        (0x22c, 0x7fff_ffff, 4),
        (0x230, 0x20_0000, 4),
        (0x234, 1, 1),
        (0x236, 1, 2),
        (0x238, 2047, 4),
        (0x258, 0x100_0000, 8),
        (0x260, 0x80_0000, 4),
    ] {
        put(&mut file, offset, value, size);
    }
    file[0x400..].fill(0x90);
    file
}

/// A 32-bit ELF file of one segment at 1 MiB, with `content` after the headers and `bss` bytes after that.
fn elf32(content: &[u8], bss: u32) -> Vec<u8> {
    let mut file = vec![0; 0x54];
    file[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', 1, 1, 1, 0]);
    let size = content.len() as u64;
    for (offset, value, bytes) in [
        (0x10, 2, 2),
        (0x12, 3, 2),
        (0x14, 1, 4),
        (0x18, 0x10_000c, 4),
        (0x1c, 0x34, 4),
        (0x28, 0x34, 2),
        (0x2a, 0x20, 2),
        (0x2c, 1, 2),
        (0x34, 1, 4),
        (0x38, 0x54, 4),
        (0x3c, 0x10_0000, 4),
        (0x40, 0x10_0000, 4),
        (0x44, size, 4),
        (0x48, size + u64::from(bss), 4),
        (0x4c, 7, 4),
    ] {
        put(&mut file, offset, value, bytes);
    }
    file.extend_from_slice(content);
    file
}

fn multiboot_header(flags: u32, addresses: &[u32]) -> Vec<u8> {
    let magic = 0x1bad_b002u32;
    let words = [magic, flags, 0u32.wrapping_sub(magic.wrapping_add(flags))];
    words.iter().chain(addresses).flat_map(|word| word.to_le_bytes()).collect()
}

/// A 64-bit ELF file with a PVH note and one segment at 16 MiB.
fn pvh() -> Vec<u8> {
    let mut file = vec![0; 0x200];
    file[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0]);
    for (offset, value, bytes) in [
        (0x10, 2, 2),
        (0x12, 62, 2),
        (0x14, 1, 4),
        (0x18, 0x100_0000, 8),
        (0x20, 0x40, 8),
        (0x34, 0x40, 2),
        (0x36, 0x38, 2),
        (0x38, 2, 2),
        // PT_LOAD: 0x20 bytes at 0x1e0, 0x1000 in memory.
        (0x40, 1, 4),
        (0x48, 0x1e0, 8),
        (0x50, 0xffff_ffff_8100_0000, 8),
        (0x58, 0x100_0000, 8),
        (0x60, 0x20, 8),
        (0x68, 0x1000, 8),
        // PT_NOTE: name "Xen", type 18, the entry point.
        (0x78, 4, 4),
        (0x80, 0x100, 8),
        (0x98, 0x14, 8),
        (0xa0, 0x14, 8),
        (0xa8, 4, 8),
        (0x100, 4, 4),
        (0x104, 4, 4),
        (0x108, 18, 4),
        (0x10c, 0x6e_6558, 4),
        (0x110, 0x100_0040, 4),
    ] {
        put(&mut file, offset, value, bytes);
    }
    file
}

#[test]
fn bzimage_starts_at_its_64_bit_entry_with_the_zero_page() {
    let image = boot(&bzimage()).unwrap();
    let cpu = &image.cpu;
    assert!(cpu.is_64bit());
    assert_eq!(cpu.regs.rip(), 0x100_0200);
    let page = cpu.regs.get(reg::RSI);
    assert_eq!(memory(&image, 0x100_0000, 2), [0x90, 0x90]);
    assert_eq!(number(&image, page + 0x202, 4), 0x5372_6448);
    assert_eq!(number(&image, page + 0x210, 1), 0xff);
    assert_eq!(text(&image, number(&image, page + 0x228, 4)), "a=b");
    assert_eq!(number(&image, page + 0x70, 8), 0xe_0000);
    let entries = number(&image, page + 0x1e8, 1);
    let last_ram = (0..entries).map(|entry| page + 0x2d0 + 20 * entry).find(|&at| number(&image, at, 8) == 0x10_0000);
    assert_eq!(number(&image, last_ram.unwrap() + 8, 8), RAM - 0x10_0000);
}

#[test]
fn bzimage_without_a_64_bit_entry_starts_in_protected_mode() {
    let mut file = bzimage();
    put(&mut file, 0x236, 0, 2);
    let cpu = boot(&file).unwrap().cpu;
    assert!(cpu.is_protected() && !cpu.is_long_mode());
    assert_eq!((cpu.regs.rip(), cpu.segs[seg::CS].selector), (0x100_0000, 0x10));
}

#[test]
fn old_bzimages_are_loaded_at_one_mib() {
    let mut file = bzimage();
    put(&mut file, 0x206, 0x204, 2);
    let image = boot(&file).unwrap();
    assert_eq!(image.cpu.regs.rip(), 0x10_0000);
    put(&mut file, 0x211, 0, 1);
    assert!(matches!(boot(&file), Err(BootError::Malformed { .. })), "a zImage");
    put(&mut file, 0x206, 0x201, 2);
    assert!(matches!(boot(&file), Err(BootError::Malformed { .. })), "protocol 2.01");
}

#[test]
fn the_initial_ram_disk_lies_high_and_must_fit() {
    let kernel: &'static [u8] = bzimage().leak();
    let small = Scratch::new(&[7; 5000]);
    let image = boot_with(&Request { initrd: Some(small.name()), ..request(kernel) }).unwrap();
    let page = image.cpu.regs.get(reg::RSI);
    let start = number(&image, page + 0x218, 4);
    assert_eq!((start, number(&image, page + 0x21c, 4)), (RAM - 0x2000, 5000));
    assert_eq!(memory(&image, start + 4999, 1), [7]);
    let large = Scratch::new(&vec![7; 9 << 20]);
    let error = boot_with(&Request { initrd: Some(large.name()), ..request(kernel) }).unwrap_err();
    assert!(error.to_string().contains("of 9 MiB does not fit: after the kernel there is room for 8 MiB"), "{error}");
}

#[test]
fn what_cannot_be_booted_says_why() {
    let message = |request: &Request| boot_with(request).unwrap_err().to_string();
    let kernel: &'static [u8] = bzimage().leak();
    let missing = Source::File("/nonexistent/kernel".into());
    assert!(message(&Request { kernel: Some(missing), ..Request::default() }).contains("'/nonexistent/kernel'"));
    assert!(message(&Request { initrd: Some("/nonexistent".into()), ..request(kernel) }).contains("initial RAM disk"));
    assert!(message(&request(b"text")).contains("no Linux bzImage"));
    assert!(message(&request(elf32(b"text", 0).leak())).contains("PVH"));
    assert!(message(&Request { command_line: "x".repeat(2048), ..request(kernel) }).contains("takes 2047"));
    assert!(message(&Request::default()).contains("nothing to run"));
    let mut huge = bzimage();
    put(&mut huge, 0x260, 0x800_0000, 4);
    assert!(message(&request(huge.leak())).contains("needs 144 MiB of RAM to start, and the machine has 32 MiB"));
    assert!(message(&request(kernel[..0x1300].to_vec().leak())).contains("truncated"));
}

#[test]
fn multiboot_elf_kernels_start_with_the_boot_information() {
    let file = elf32(&multiboot_header(3, &[]), 0x100);
    let module = Scratch::new(b"module");
    let list = format!("{} x y,{}", module.name(), module.name());
    let image = boot_with(&Request { initrd: Some(list), ..request(file.leak()) }).unwrap();
    let cpu = &image.cpu;
    assert_eq!((cpu.regs.rip(), cpu.regs.get(reg::RAX)), (0x10_000c, 0x2bad_b002));
    let info = cpu.regs.get(reg::RBX);
    assert_eq!((number(&image, info + 4, 4), number(&image, info + 8, 4)), (639, 31 << 10));
    assert_eq!(text(&image, number(&image, info + 16, 4)), "kernel a=b");
    let (count, modules) = (number(&image, info + 20, 4), number(&image, info + 24, 4));
    assert_eq!((count, number(&image, modules, 4), number(&image, modules + 4, 4)), (2, 0x10_1000, 0x10_1006));
    assert_eq!(text(&image, number(&image, modules + 8, 4)), format!("{} x y", module.name()));
    assert_eq!(memory(&image, 0x10_2000, 6), b"module");
    assert_eq!(memory(&image, 0x10_0010, 0xfc), [0; 0xfc], "zeros after the file's part of the segment");
    let (length, map) = (number(&image, info + 44, 4), number(&image, info + 48, 4));
    assert_eq!((length % 24, number(&image, map, 4), number(&image, map + 12, 8)), (0, 20, 0x9_fc00));
    assert_eq!(text(&image, number(&image, info + 64, 4)), "reprise");
}

#[test]
fn multiboot_headers_can_say_where_the_image_goes() {
    let mut file = vec![0; 0x40];
    file.extend(multiboot_header(1 << 16, &[0x20_0030, 0x20_0000, 0x20_0060, 0x20_1000, 0x20_0050]));
    file.resize(0x100, 0xcc);
    let image = boot(&file).unwrap();
    assert_eq!(image.cpu.regs.rip(), 0x20_0050);
    assert_eq!(number(&image, 0x20_0030, 4), 0x1bad_b002);
    assert_eq!(memory(&image, 0x20_0060, 0xfa0), [0; 0xfa0]);
    assert!(image.memory.iter().all(|(start, bytes)| start + bytes.len() as u64 <= 0x20_1000));
    put(&mut file, 0x40 + 4, 1 << 5, 4);
    put(&mut file, 0x40 + 8, u64::from(0u32.wrapping_sub(0x1bad_b002 + (1 << 5))), 4);
    assert!(boot(&file).unwrap_err().to_string().contains("unknown features"));
}

#[test]
fn pvh_kernels_start_with_the_start_information() {
    let initrd = Scratch::new(&[1, 2, 3]);
    let image = boot_with(&Request { initrd: Some(initrd.name()), ..request(pvh().leak()) }).unwrap();
    let cpu = &image.cpu;
    assert_eq!((cpu.regs.rip(), cpu.cr4, cpu.tr.limit), (0x100_0040, 0, 0x67));
    assert_eq!(cpu.segs[seg::CS], Segment { selector: 0x10, base: 0, limit: u32::MAX, attributes: 0xc09b });
    let info = cpu.regs.get(reg::RBX);
    assert_eq!((number(&image, info, 4), number(&image, info + 4, 4)), (0x336e_c578, 1));
    let modules = number(&image, info + 16, 8);
    assert_eq!((number(&image, modules, 8), number(&image, modules + 8, 8)), (RAM - 0x1000, 3));
    assert_eq!(text(&image, number(&image, info + 24, 8)), "a=b");
    assert_eq!(number(&image, info + 32, 8), 0xe_0000);
    let (map, entries) = (number(&image, info + 40, 8), number(&image, info + 48, 4));
    assert_eq!((entries, number(&image, map + 8, 8), number(&image, map + 16, 4)), (5, 0x9_fc00, 1));
}

#[test]
fn kernels_need_not_lie_at_an_aligned_address() {
    for kernel in [elf32(&multiboot_header(3, &[]), 0), pvh()] {
        for shift in 1..8 {
            let shifted: &'static [u8] = [vec![0; shift], kernel.clone()].concat().leak();
            boot_with(&request(&shifted[shift..])).unwrap();
        }
    }
}

#[test]
fn flat_images_start_where_they_are_loaded() {
    let file = Scratch::new(&[0xf4]);
    let given = [("file", file.name()), ("addr", "0x7c00".into()), ("cpu-num", "0".into())];
    let loader = Loader::new(&given.map(|(name, value)| (name.to_owned(), value))).unwrap();
    let image = boot_with(&Request { loaders: vec![loader], ..Request::default() }).unwrap();
    assert_eq!((image.cpu.regs.rip(), image.cpu.segs[seg::CS].base), (0x7c00, 0));
    assert_eq!(memory(&image, 0x7c00, 1), [0xf4]);
}

#[test]
fn a_machine_needs_one_mib() {
    let mut board = Board::new(512 << 10, 1).unwrap();
    let pc = pc::build(&mut board, &PcConfig::default()).unwrap();
    let error = load(&Request::default(), &mut files::HostFiles, &board, &pc, &MODELS[0]).unwrap_err();
    assert_eq!(error.to_string(), "512 KiB of RAM are too little: a machine needs at least 1 MiB");
}

/// Whatever is wrong with a file, loading it ends, takes no more memory than there is RAM, and puts nothing elsewhere.
fn survives(board: &Board, pc: &Pc, bytes: &'static [u8]) {
    if let Ok(image) = load(&request(bytes), &mut files::HostFiles, board, pc, &MODELS[0]) {
        let total: u64 = image.memory.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        assert!(total <= RAM);
        assert!(image.memory.iter().all(|(start, bytes)| start + bytes.len() as u64 <= RAM));
    }
}

fn images() -> [Vec<u8>; 4] {
    let kludge = multiboot_header(1 << 16, &[0x20_0000, 0x20_0000, 0x20_0060, 0x20_1000, 0x20_0050]);
    let mut padded = kludge;
    padded.resize(0x100, 0xcc);
    [bzimage(), elf32(&multiboot_header(0, &[]), 0x100), padded, pvh()]
}

#[test]
fn every_truncation_is_survived() {
    let mut board = Board::new(RAM, 1).unwrap();
    let pc = pc::build(&mut board, &PcConfig::default()).unwrap();
    for image in images() {
        let image: &'static [u8] = image.leak();
        for length in (0..image.len().min(0x300)).chain([image.len() - 1]) {
            survives(&board, &pc, &image[..length]);
        }
    }
}

#[test]
fn random_damage_is_survived() {
    let mut board = Board::new(RAM, 1).unwrap();
    let pc = pc::build(&mut board, &PcConfig::default()).unwrap();
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    for image in images() {
        let head = image.len().min(0x280);
        for _ in 0..400 {
            let mut damaged = image.clone();
            for _ in 0..=next(4) {
                damaged[next(head)] = [0, 0xff, 0x80, next(256) as u8][next(4)];
            }
            survives(&board, &pc, damaged.leak());
        }
    }
}
