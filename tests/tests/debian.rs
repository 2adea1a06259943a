//! Debian's own kernels boot, do their work, and switch the machine off, always the same way.
//!
//! Here is one boot of each kernel, one that must repeat, and a shell; `cargo run --release -p reprise-tests --bin soak` boots
//! every combination, with as many seeds as asked for.

use reprise::machine::MachineConfig;
use reprise_core::machine::End;
use reprise_tests::busy::BusyHost;
use reprise_tests::debian::{self, Suite};

/// The undisturbed boot is checked for what it does, and the disturbed one for being the same. The model has AVX2, which
/// the guest's C library then uses everywhere, and whose state the kernel saves and restores.
#[test]
fn the_newer_kernel_on_four_vcpus_of_v3_repeats_whatever_happens_around_it() {
    const CPUS: u32 = 4;
    let config = MachineConfig { cpu: "x86-64-v3".into(), ..debian::machine(Suite::Backports, CPUS) };
    let expected = debian::boot(&config);
    let complaints = debian::complaints(&expected, CPUS);
    assert!(complaints.is_empty(), "{complaints:#?}");
    let busy = BusyHost::new();
    let disturbed = debian::boot_disturbed(&config, 1, expected.tick, 20);
    drop(busy);
    assert_eq!(disturbed, expected);
}

#[test]
fn the_release_kernel_on_one_vcpu_works() {
    let ending = debian::boot(&debian::machine(Suite::Stable, 1));
    let complaints = debian::complaints(&ending, 1);
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn the_newer_kernel_gives_a_shell_on_the_console() {
    let config = debian::machine_with_shell(Suite::Backports, 1);
    let ending = debian::boot_and_type(&config, "echo $((6 * 7)) is the answer | sed s/is/was/\nexit\n");
    assert_eq!(ending.end, End::Off, "{}", ending.console);
    assert!(ending.console.lines().any(|line| line.trim_end() == "42 was the answer"), "{}", ending.console);
}
