//! `info registers`, in QEMU's layout.

use reprise_core::cpu::{Activity, CpuState, Flags, Segment, Shadow, reg, seg};
use std::fmt::Write as _;

/// Names of system segments (SDM vol. 3, table 3-2 System-Segment and Gate-Descriptor Types), in 32-bit and in long mode.
const SYSTEM_TYPES: [[&str; 16]; 2] = [
    [
        "Reserved",
        "TSS16-avl",
        "LDT",
        "TSS16-busy",
        "CallGate16",
        "TaskGate",
        "IntGate16",
        "TrapGate16",
        "Reserved",
        "TSS32-avl",
        "Reserved",
        "TSS32-busy",
        "CallGate32",
        "Reserved",
        "IntGate32",
        "TrapGate32",
    ],
    [
        "<hiword>",
        "Reserved",
        "LDT",
        "Reserved",
        "Reserved",
        "Reserved",
        "Reserved",
        "Reserved",
        "Reserved",
        "TSS64-avl",
        "Reserved",
        "TSS64-busy",
        "CallGate64",
        "Reserved",
        "IntGate64",
        "TrapGate64",
    ],
];

/// Four in a row, as QEMU has them.
const ROWS: [[(&str, u8); 4]; 4] = [
    [("AX", reg::RAX), ("BX", reg::RBX), ("CX", reg::RCX), ("DX", reg::RDX)],
    [("SI", reg::RSI), ("DI", reg::RDI), ("BP", reg::RBP), ("SP", reg::RSP)],
    [("8 ", reg::R8), ("9 ", reg::R9), ("10", reg::R10), ("11", reg::R11)],
    [("12", reg::R12), ("13", reg::R13), ("14", reg::R14), ("15", reg::R15)],
];

/// The registers of `cpu`.
pub(super) fn of(cpu: &CpuState) -> String {
    let mut text = format!("\nCPU#{}\n", cpu.index);
    general(cpu, &mut text);
    segments(cpu, &mut text);
    tables(cpu, &mut text);
    control(cpu, &mut text);
    x87(cpu, &mut text);
    vectors(cpu, &mut text);
    text
}

fn general(cpu: &CpuState, text: &mut String) {
    let long = cpu.is_64bit();
    let value = |name: &str, number| {
        let value = cpu.regs.get(number);
        if long { format!("R{name}={value:016x}") } else { format!("E{name}={:08x}", value as u32) }
    };
    for row in ROWS.iter().take(if long { 4 } else { 2 }) {
        let values = row.map(|(name, number)| value(name, number));
        let _ = writeln!(text, "{}", values.join(" "));
    }
    let _ = writeln!(
        text,
        "{} {}FL={:08x} {} CPL={} II={} A20=1 SMM=0 HLT={}",
        value("IP", reg::RIP),
        if long { 'R' } else { 'E' },
        cpu.flags.get(),
        flags(cpu.flags.get()),
        cpu.cpl(),
        u8::from(cpu.shadow != Shadow::None),
        u8::from(cpu.activity != Activity::Running)
    );
}

fn flags(value: u64) -> String {
    let names = [
        (Flags::DF, 'D'),
        (Flags::OF, 'O'),
        (Flags::SF, 'S'),
        (Flags::ZF, 'Z'),
        (Flags::AF, 'A'),
        (Flags::PF, 'P'),
        (Flags::CF, 'C'),
    ];
    let letters: String = names.iter().map(|(flag, name)| if value & flag != 0 { *name } else { '-' }).collect();
    format!("[{letters}]")
}

fn segments(cpu: &CpuState, text: &mut String) {
    let names = [("ES", seg::ES), ("CS", seg::CS), ("SS", seg::SS), ("DS", seg::DS), ("FS", seg::FS), ("GS", seg::GS)];
    let ordinary = names.iter().map(|&(name, number)| (name, &cpu.segs[number]));
    for (name, segment) in ordinary.chain([("LDT", &cpu.ldtr), ("TR", &cpu.tr)]) {
        let Segment { selector, base, limit, attributes } = *segment;
        let attributes = u32::from(attributes & 0xf0ff) << 8 | limit_bits(segment);
        let base = if cpu.is_64bit() { format!("{base:016x}") } else { format!("{:08x}", base as u32) };
        let kind = if cpu.is_protected() && segment.is_present() { kind(cpu, segment) } else { String::new() };
        let _ = writeln!(text, "{name:<3}={selector:04x} {base} {limit:08x} {attributes:08x}{kind}");
    }
}

/// The limit's high bits, which a descriptor has between its attributes.
fn limit_bits(segment: &Segment) -> u32 {
    let counted = if segment.attributes & Segment::GRANULARITY != 0 { segment.limit >> 12 } else { segment.limit };
    counted & 0xf_0000
}

fn kind(cpu: &CpuState, segment: &Segment) -> String {
    let bit = |mask: u16, name: char| if segment.attributes & mask != 0 { name } else { '-' };
    let long = cpu.is_long_mode();
    let kind = if !segment.is_ordinary() {
        SYSTEM_TYPES[usize::from(long)][usize::from(segment.attributes & 15)].to_owned()
    } else if segment.is_code() {
        let width = match (segment.is_long(), segment.is_big()) {
            (true, _) => "CS64",
            (false, true) => "CS32",
            (false, false) => "CS16",
        };
        format!("{width} [{}{}{}]", bit(Segment::DC, 'C'), bit(Segment::RW, 'R'), bit(Segment::ACCESSED, 'A'))
    } else {
        let width = if segment.is_big() || long { "DS  " } else { "DS16" };
        format!("{width} [{}{}{}]", bit(Segment::DC, 'E'), bit(Segment::RW, 'W'), bit(Segment::ACCESSED, 'A'))
    };
    format!(" DPL={} {kind}", segment.dpl())
}

fn tables(cpu: &CpuState, text: &mut String) {
    for (name, table) in [("GDT", &cpu.gdtr), ("IDT", &cpu.idtr)] {
        let (base, limit) = (table.base, table.limit);
        let _ = if cpu.is_long_mode() {
            writeln!(text, "{name}=     {base:016x} {limit:08x}")
        } else {
            writeln!(text, "{name}=     {:08x} {limit:08x}", base as u32)
        };
    }
}

fn control(cpu: &CpuState, text: &mut String) {
    let CpuState { cr0, cr2, cr3, cr4, .. } = cpu;
    let width = if cpu.is_long_mode() { 16 } else { 8 };
    let _ = writeln!(text, "CR0={cr0:08x} CR2={cr2:0width$x} CR3={cr3:0width$x} CR4={cr4:08x}");
    for (number, value) in cpu.dr.iter().enumerate() {
        let _ = write!(text, "DR{number}={value:016x} ");
    }
    let _ = writeln!(text, "\nDR6={:016x} DR7={:016x}\nEFER={:016x}", cpu.dr6, cpu.dr7, cpu.efer);
}

fn x87(cpu: &CpuState, text: &mut String) {
    let unit = &cpu.x87;
    let _ = writeln!(
        text,
        "FCW={:04x} FSW={:04x} [ST={}] FTW={:02x} MXCSR={:08x}",
        unit.control,
        unit.status,
        unit.status >> 11 & 7,
        !unit.empty,
        cpu.mxcsr
    );
    for (number, value) in unit.regs.iter().enumerate() {
        let end = if number % 2 == 1 { '\n' } else { ' ' };
        let _ = write!(text, "FPR{number}={:016x} {:04x}{end}", value.sig, value.sign_exp);
    }
}

fn vectors(cpu: &CpuState, text: &mut String) {
    let count = if cpu.is_64bit() { 16 } else { 8 };
    for (number, vector) in cpu.vectors[..count].iter().enumerate() {
        let end = if number % 2 == 1 { '\n' } else { ' ' };
        let (high, low) = ((vector.low >> 64) as u64, vector.low as u64);
        let _ = write!(text, "XMM{number:02}={high:016x} {low:016x}{end}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_core::cpu::{Model, cr0, cr4, efer};

    fn cpu() -> CpuState {
        CpuState::new(0, Model::find(Model::DEFAULT).unwrap())
    }

    #[test]
    fn after_power_on_as_in_qemu() {
        let text = of(&cpu());
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..2], ["", "CPU#0"]);
        assert!(lines[2].starts_with("EAX=00000000 EBX=00000000 ECX=00000000 EDX="), "{}", lines[2]);
        assert_eq!(lines[4], "EIP=0000fff0 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0");
        assert_eq!(lines[6], "CS =f000 ffff0000 0000ffff 00009b00");
        assert_eq!(lines[12], "TR =0000 00000000 0000ffff 00008b00");
        assert_eq!(lines[13], "GDT=     00000000 0000ffff");
        assert_eq!(lines[15], "CR0=60000010 CR2=00000000 CR3=00000000 CR4=00000000");
        assert_eq!(lines.len(), 28);
    }

    #[test]
    fn long_mode_as_in_qemu() {
        let mut cpu = cpu();
        cpu.cr0 |= cr0::PE | cr0::PG;
        cpu.cr4 = cr4::PAE;
        cpu.efer = efer::LME | efer::LMA;
        cpu.segs[seg::CS] = Segment::from_descriptor(0x10, 0x00af_9b00_0000_ffff);
        cpu.segs[seg::SS] = Segment::from_descriptor(0x18, 0x00cf_9300_0000_ffff);
        cpu.tr = Segment { selector: 0x40, base: 0xffff_fe00_0000_3000, limit: 0x4087, attributes: 0x8b };
        cpu.segs[seg::GS] = Segment::null(0);
        let text = of(&cpu);
        for line in [
            "CS =0010 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]",
            "SS =0018 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]",
            "GS =0000 0000000000000000 00000000 00000000",
            "TR =0040 fffffe0000003000 00004087 00008b00 DPL=0 TSS64-busy",
            "CR0=e0000011 CR2=0000000000000000 CR3=0000000000000000 CR4=00000020",
            "EFER=0000000000000500",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
        assert!(text.contains("RSP=") && text.contains("R15=") && text.contains("XMM15="));
    }
}
