use super::*;

fn description() -> Description {
    Description { cpus: 4, serial: [true, true, false, false], pvpanic: Some(0x505), low_ram: 512 << 20, high_ram: 0 }
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, &byte| sum.wrapping_add(byte))
}

fn at(tables: &Tables, address: u64) -> &[u8] {
    &tables.bytes[(address - tables.base) as usize..]
}

fn number<const N: usize>(bytes: &[u8], offset: usize) -> u64 {
    bytes[offset..offset + N].iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// The table at `address`, whose checksum must be right unless it has none.
fn table(tables: &Tables, address: u64) -> &[u8] {
    let bytes = at(tables, address);
    let table = &bytes[..number::<4>(bytes, 4) as usize];
    assert!(&table[..4] == b"FACS" || sum(table) == 0, "checksum of {}", String::from_utf8_lossy(&table[..4]));
    table
}

/// All tables that can be reached from the root pointer.
fn reachable(tables: &Tables) -> Vec<&[u8]> {
    let rsdp = at(tables, tables.rsdp);
    assert_eq!(&rsdp[..8], b"RSD PTR ");
    assert_eq!((sum(&rsdp[..20]), sum(&rsdp[..36])), (0, 0));
    let xsdt = table(tables, number::<8>(rsdp, 24));
    let mut found: Vec<_> =
        xsdt[36..].chunks(8).map(|entry| table(tables, u64::from_le_bytes(entry.try_into().unwrap()))).collect();
    let fadt = found[0];
    assert_eq!(number::<4>(fadt, 40), number::<8>(fadt, 140), "both addresses of the DSDT");
    found.extend([36, 40].map(|offset| table(tables, number::<4>(fadt, offset))));
    found
}

#[test]
fn every_table_can_be_reached_and_sums_to_zero() {
    let tables = tables(&description());
    let signatures: Vec<_> =
        reachable(&tables).iter().map(|table| String::from_utf8_lossy(&table[..4]).into_owned()).collect();
    assert_eq!(signatures, ["FACP", "APIC", "HPET", "MCFG", "WAET", "FACS", "DSDT"]);
}

#[test]
fn the_most_processors_fit() {
    let tables = tables(&Description { cpus: 255, ..description() });
    assert_eq!(reachable(&tables)[1].windows(4).filter(|bytes| bytes == &[0, 8, 254, 254]).count(), 1);
}

#[test]
fn processors_past_apic_id_254_are_x2apic() {
    assert_eq!(local_apic(254), [0, 8, 254, 254, 1, 0, 0, 0]);
    assert_eq!(local_apic(255), [9, 16, 0, 0, 255, 0, 0, 0, 1, 0, 0, 0, 255, 0, 0, 0]);
}

#[test]
fn the_facs_is_aligned_and_the_fixed_registers_are_where_the_chipset_has_them() {
    let tables = tables(&description());
    let fadt = reachable(&tables)[0];
    assert_eq!(number::<4>(fadt, 36) % 64, 0);
    let ports = [56, 64, 76, 80].map(|offset| number::<4>(fadt, offset));
    assert_eq!(ports, [0x600, 0x604, 0x608, 0x620]);
    assert_eq!((number::<8>(fadt, 120), fadt[128]), (0xcf9, 6));
}

#[test]
fn the_dsdt_has_the_devices_of_the_board_and_no_others() {
    let with = tables(&description());
    let without = tables(&Description { serial: [false; 4], pvpanic: None, ..description() });
    let has = |tables: &Tables, word: &[u8]| reachable(tables)[6].windows(word.len()).any(|bytes| bytes == word);
    for name in [&b"COM1"[..], b"COM2", b"QEMU0001"] {
        assert!(has(&with, name) && !has(&without, name), "{}", String::from_utf8_lossy(name));
    }
    assert!(!has(&with, b"COM3"));
    for name in [&b"_OSC"[..], b"_PRT", b"LNKH", b"GSIH", b"C003", b"_S5_", b"QEMU0002"] {
        assert!(has(&without, name), "{}", String::from_utf8_lossy(name));
    }
}
