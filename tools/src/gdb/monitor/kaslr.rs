//! `info kaslr`: where a Linux kernel has put itself.
//!
//! The kernel maps its image in the last 2 GiB of addresses, from the first page of its text on, and nothing before that
//! (Linux, Documentation/x86/x86_64/mm.rst). It is linked for `LINKED`; address space layout randomisation moves it up
//! by a multiple of 2 MiB. So the first address that is mapped there says how far.

use super::{Answer, Monitor};
use reprise_core::machine::Machine;

/// Where the kernel's image may be.
const AREA: std::ops::Range<u64> = 0xffff_ffff_8000_0000..0xffff_ffff_c000_0000;

/// Where its text is linked.
const LINKED: u64 = 0xffff_ffff_8100_0000;

/// What it is aligned to.
const ALIGNMENT: u64 = 2 << 20;

/// The smallest image. With page table isolation a program sees less of the kernel than that.
const SMALLEST: u64 = 4 << 20;

pub(super) fn show(monitor: &mut Monitor<'_>) -> Answer {
    if !monitor.vcpu().is_long_mode() {
        return Err(format!("vCPU {} is not in long mode: seek to where the guest's kernel runs", monitor.cpu));
    }
    let Some(text) = kernel_text(monitor.machine(), monitor.cpu) else {
        return Err(format!(
            "vCPU {} has no Linux kernel mapped from {:#x} on: seek to where it runs",
            monitor.cpu, AREA.start
        ));
    };
    let offset = text.wrapping_sub(LINKED);
    Ok(format!("kernel text at {text:#x}, offset {offset:#x}\nin gdb: {}", symbols(offset)))
}

/// How gdb learns of a kernel that has moved. Per-CPU variables are linked from 0 on, and do not move with it.
fn symbols(offset: u64) -> String {
    match offset {
        0 => "symbol-file vmlinux".into(),
        _ => format!("add-symbol-file vmlinux -o {offset:#x} -s .data..percpu 0"),
    }
}

/// Where a vCPU has the kernel's text.
fn kernel_text(machine: &Machine, cpu: usize) -> Option<u64> {
    let is_mapped = |address: &u64| machine.translate(cpu, *address).is_some();
    let pages = || AREA.step_by(ALIGNMENT as usize);
    let first = pages().find(is_mapped)?;
    let last = pages().skip_while(|address| *address < first).take_while(is_mapped).last()?;
    (last + ALIGNMENT - first >= SMALLEST).then_some(first)
}
