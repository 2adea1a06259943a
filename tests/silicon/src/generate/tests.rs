use super::*;
use crate::compare::{Observed, differences, ending};
use crate::sandbox::Silicon;
use crate::state::Outcome;
use std::collections::BTreeSet;

fn cases(count: u64) -> impl Iterator<Item = Case> {
    let generator = Generator::new();
    (0..count).map(move |seed| {
        let families = Family::on_host();
        let family = families[seed as usize % families.len()];
        generator.case(seed, Some(family))
    })
}

#[test]
fn a_seed_makes_the_same_case_again() {
    for (one, two) in cases(500).zip(cases(500)) {
        assert_eq!(one.code, two.code);
        assert!(one.state == two.state && one.data == two.data);
    }
}

#[test]
fn every_encoding_of_every_family_can_be_made() {
    let catalogue = Catalogue::new();
    let mut random = Random::new(1);
    let roles = start::start(&mut random).roles;
    for &family in Family::on_host() {
        assert!(!catalogue.of(family).is_empty(), "{family:?} has nothing");
        for &code in catalogue.of(family) {
            let mut operands = Operands { random: &mut random, roles: &roles };
            let made = (0..100).find_map(|_| operands.encode(code, CODE_BASE));
            assert!(made.is_some(), "{code:?} was never encoded");
        }
    }
}

#[test]
fn sequences_bring_almost_every_encoding() {
    let mut seen = BTreeSet::new();
    for case in cases(40_000) {
        let mut at = 0;
        while at < case.code.len() {
            let instruction = decode(&case.code[at..], CODE_BASE + at as u64);
            seen.insert(instruction.code() as usize);
            at += instruction.len();
        }
    }
    let catalogue = Catalogue::new();
    let all = Family::on_host().iter().flat_map(|&family| catalogue.of(family));
    let missing: Vec<_> = all.filter(|&&code| !seen.contains(&(code as usize))).collect();
    // Encodings that read or write the same thing as a shorter one may decode to that.
    assert!(missing.len() < 20, "never seen: {missing:?}");
}

#[test]
fn what_leads_out_of_the_sandbox_is_not_allowed() {
    let refused: [(&str, &[u8]); 11] = [
        ("syscall", &[0x0f, 0x05]),
        ("int 0x80", &[0xcd, 0x80]),
        ("syscall within mov", &[0xb8, 0x0f, 0x05, 0, 0]),
        ("mov eax, fs:[0]", &[0x64, 0x8b, 0x04, 0x25, 0, 0, 0, 0]),
        ("wrfsbase rax", &[0xf3, 0x48, 0x0f, 0xae, 0xd0]),
        ("mov fs, eax", &[0x8e, 0xe0]),
        ("rdtsc", &[0x0f, 0x31]),
        ("vaddps of 512 bits", &[0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc0]),
        ("blcfill", &[0x8f, 0xe9, 0x78, 0x01, 0xc8]),
        ("jmp to itself", &[0xeb, 0xfe]),
        ("jmp into mov", &[0xeb, 0x01, 0xb8, 0, 0, 0, 0]),
    ];
    for (name, code) in refused {
        assert!(!is_allowed(code), "{name}");
    }
    assert!(is_allowed(&[0xeb, 0x02, 0x01, 0xc8, 0x90]), "jmp +2; add; nop");
}

#[test]
fn undefined_flags_are_known_at_every_instruction() {
    let generator = Generator::new();
    let with_undefined = (0..2000)
        .map(|seed| generator.case(seed, Some(Family::Shift)))
        .filter(|case| case.undefined_flags_at(CODE_BASE + case.code.len() as u64) != 0);
    assert!(with_undefined.count() > 200);
}

#[test]
fn the_processor_agrees_with_itself_on_random_sequences() {
    let mut silicon = Silicon::new().expect("the sandbox starts");
    let (mut done, mut faulted, mut endless) = (0u32, 0u32, 0u32);
    for case in cases(100_000) {
        let mut run = || {
            let mut data = case.data.clone();
            let outcome = silicon.run(&case.code, &case.state, &mut data);
            (outcome, data)
        };
        let (first, first_data) = run();
        let (second, second_data) = run();
        let expected = Observed { outcome: &first, data: &first_data };
        let found = Observed { outcome: &second, data: &second_data };
        let lines = differences(&case, expected, found);
        assert!(lines.is_empty(), "seed {} {:02x?}: {}: {lines:#?}", case.seed, case.code, ending(&first));
        match first {
            Outcome::Done(_) => done += 1,
            Outcome::Fault(_) => faulted += 1,
            Outcome::Endless => endless += 1,
        }
    }
    // Neither should be rare, or half of the comparison would be idle.
    assert!(done > 30_000, "{done} done, {faulted} faulted, {endless} endless");
    assert!(faulted > 5_000, "{done} done, {faulted} faulted, {endless} endless");
    assert!(endless < 10, "{done} done, {faulted} faulted, {endless} endless");
}
