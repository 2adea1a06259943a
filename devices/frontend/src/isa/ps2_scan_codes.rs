//! What the keys of a PS/2 keyboard send, and how the controller translates it.
//!
//! Document: IBM, Personal System/2 Hardware Interface Technical Reference, "Keyboards (101- and 102-Key)": "Scan Codes".
//! Keys are named by Linux's `KEY_*` numbers, which are scan code set 1 for all keys of the first PC keyboards. Set 2 is
//! derived from set 1 by turning the controller's translation around. Keys of laptops and multimedia keyboards send what
//! Microsoft's Keyboard Scan Code Specification gives them.

/// `KEY_*` numbers of keys that need care.
pub(super) mod key {
    pub(crate) const LEFT_CTRL: u16 = 29;
    pub(crate) const LEFT_SHIFT: u16 = 42;
    pub(crate) const RIGHT_SHIFT: u16 = 54;
    pub(crate) const LEFT_ALT: u16 = 56;
    pub(crate) const RIGHT_CTRL: u16 = 97;
    pub(crate) const SYS_RQ: u16 = 99;
    pub(crate) const RIGHT_ALT: u16 = 100;
    pub(crate) const PAUSE: u16 = 119;
}

/// Codes below 0x80 as the controller translates them from set 2 to set 1.
#[rustfmt::skip]
const TRANSLATION: [u8; 128] = [
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
];

/// Keys that came later, and their code in set 1: with no prefix.
const LATER: [(u16, u8); 9] =
    [(89, 0x73), (90, 0x78), (92, 0x79), (93, 0x70), (94, 0x7b), (95, 0x5c), (117, 0x59), (121, 0x7e), (124, 0x7d)];

/// Keys that came later, and their code in set 1: after the prefix 0xe0.
#[rustfmt::skip]
const PREFIXED: [(u16, u8); 38] = [
    (96, 0x1c), (97, 0x1d), (98, 0x35), (100, 0x38), (102, 0x47), (103, 0x48), (104, 0x49), (105, 0x4b),
    (106, 0x4d), (107, 0x4f), (108, 0x50), (109, 0x51), (110, 0x52), (111, 0x53), (113, 0x20), (114, 0x2e),
    (115, 0x30), (116, 0x5e), (125, 0x5b), (126, 0x5c), (127, 0x5d), (128, 0x68), (140, 0x21), (142, 0x5f),
    (143, 0x63), (155, 0x6c), (156, 0x66), (157, 0x6b), (158, 0x6a), (159, 0x69), (163, 0x19), (164, 0x22),
    (165, 0x10), (166, 0x24), (172, 0x32), (173, 0x67), (217, 0x65), (226, 0x6d),
];

/// Codes of set 3 that differ from those of set 2, or whose keys have a prefix there.
#[rustfmt::skip]
const SET_3: [(u16, u8); 42] = [
    (1, 0x08), (29, 0x11), (43, 0x5c), (55, 0x7e), (56, 0x19), (58, 0x14),
    (59, 0x07), (60, 0x0f), (61, 0x17), (62, 0x1f), (63, 0x27), (64, 0x2f), (65, 0x37), (66, 0x3f), (67, 0x47),
    (68, 0x4f), (87, 0x56), (88, 0x5e),
    (69, 0x76), (70, 0x5f), (74, 0x84), (78, 0x7c), (86, 0x13), (96, 0x79), (97, 0x58), (98, 0x77), (99, 0x57),
    (100, 0x39), (102, 0x6e), (103, 0x63), (104, 0x6f), (105, 0x61), (106, 0x6a), (107, 0x65), (108, 0x60),
    (109, 0x6d), (110, 0x67), (111, 0x64), (119, 0x62), (125, 0x8b), (126, 0x8c), (127, 0x8d),
];

/// The keys that change what others send.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Modifiers {
    pub(super) shift: bool,
    pub(super) ctrl: bool,
    pub(super) alt: bool,
}

/// `code` of set 2 as the controller translates it to set 1.
pub(super) fn translate(code: u8) -> u8 {
    match code {
        0..=0x7f => TRANSLATION[usize::from(code)],
        0x83 => 0x41,
        0x84 => 0x54,
        _ => code,
    }
}

/// The code of set 2 that translates to `set_1`.
fn set_2(set_1: u8) -> u8 {
    match set_1 {
        0x41 => 0x83,
        0x54 => 0x84,
        _ => TRANSLATION.iter().position(|&code| code == set_1).map_or(set_1, |code| code as u8),
    }
}

/// The code of `key` in set 3.
pub(super) fn set_3(key: u16) -> Option<u8> {
    let listed = SET_3.iter().find(|(listed, _)| *listed == key).map(|(_, code)| *code);
    listed.or((1..=83).contains(&key).then(|| set_2(key as u8)))
}

/// Prefix and code of `key` in set 1.
fn set_1(key: u16) -> Option<(bool, u8)> {
    let find = |keys: &[(u16, u8)]| keys.iter().find(|(listed, _)| *listed == key).map(|(_, code)| *code);
    match key {
        1..=83 | 86..=88 => Some((false, key as u8)),
        _ => find(&LATER).map(|code| (false, code)).or_else(|| find(&PREFIXED).map(|code| (true, code))),
    }
}

/// Whether a keyboard of ours has `key`.
pub(super) fn exists(key: u16) -> bool {
    matches!(key, key::SYS_RQ | key::PAUSE) || set_1(key).is_some()
}

/// What `key` sends in scan code set `set` when it goes down or up; nothing if the set has no code for it.
pub(super) fn sequence(set: u8, key: u16, down: bool, modifiers: Modifiers) -> Vec<u8> {
    if set == 3 {
        return set_3(key).map_or_else(Vec::new, |code| one(2, (false, code), down));
    }
    match key {
        key::PAUSE if down => pause(set, modifiers),
        key::PAUSE => Vec::new(),
        key::SYS_RQ => sys_rq(down, modifiers).into_iter().flat_map(|code| coded(set, code, down)).collect(),
        _ => set_1(key).map_or_else(Vec::new, |code| coded(set, code, down)),
    }
}

/// A prefix and code of set 1 in `set`, which is 1 or 2.
fn coded(set: u8, (prefix, code): (bool, u8), down: bool) -> Vec<u8> {
    one(set, (prefix, if set == 1 { code } else { set_2(code) }), down)
}

/// Make or break of one code: set 1 marks a break by bit 7, the others by 0xf0.
fn one(set: u8, (prefix, code): (bool, u8), down: bool) -> Vec<u8> {
    let prefix = prefix.then_some(0xe0);
    let released = (!down && set != 1).then_some(0xf0);
    let code = if !down && set == 1 { code | 0x80 } else { code };
    prefix.into_iter().chain(released).chain([code]).collect()
}

/// Print Screen pretends that Shift is down, as there was once one key for both; with Alt it is System Request.
fn sys_rq(down: bool, modifiers: Modifiers) -> Vec<(bool, u8)> {
    let (shift, print) = ((true, 0x2a), (true, 0x37));
    match modifiers {
        Modifiers { alt: true, .. } => vec![(false, 0x54)],
        Modifiers { shift: true, .. } | Modifiers { ctrl: true, .. } => vec![print],
        _ if down => vec![shift, print],
        _ => vec![print, shift],
    }
}

/// Pause sends make and break together when it goes down; with Ctrl it is Break.
fn pause(set: u8, modifiers: Modifiers) -> Vec<u8> {
    if modifiers.ctrl {
        return [true, false].into_iter().flat_map(|down| coded(set, (true, 0x46), down)).collect();
    }
    let half = |down| {
        let keys = [0x1d, 0x45].into_iter().flat_map(move |code| coded(set, (false, code), down));
        std::iter::once(0xe1).chain(keys)
    };
    half(true).chain(half(false)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(set: u8, key: u16, down: bool) -> Vec<u8> {
        sequence(set, key, down, Modifiers::default())
    }

    #[test]
    fn translation_turns_every_key_of_set_2_into_set_1() {
        for key in (0..=255).filter(|&key| exists(key)) {
            for down in [true, false] {
                let mut released = 0;
                let mut translated = Vec::new();
                for code in plain(2, key, down) {
                    match code {
                        0xf0 => released = 0x80,
                        code => {
                            translated.push(translate(code) | released);
                            released = 0;
                        }
                    }
                }
                assert_eq!(translated, plain(1, key, down), "key {key}");
            }
        }
    }

    #[test]
    fn no_two_keys_send_the_same() {
        for set in 1..=3 {
            let mut sent: Vec<_> = (0..=255).map(|key| plain(set, key, true)).filter(|s| !s.is_empty()).collect();
            let count = sent.len();
            sent.sort();
            sent.dedup();
            assert_eq!(sent.len(), count, "set {set}");
        }
    }

    #[test]
    fn codes_that_are_known_by_heart() {
        assert_eq!(plain(2, 30, true), [0x1c]);
        assert_eq!(plain(2, 30, false), [0xf0, 0x1c]);
        assert_eq!(plain(2, 65, true), [0x83]);
        assert_eq!(plain(2, 97, false), [0xe0, 0xf0, 0x14]);
        assert_eq!(plain(2, 116, true), [0xe0, 0x37]);
        assert_eq!(plain(1, 103, false), [0xe0, 0xc8]);
        assert_eq!(plain(3, 1, true), [0x08]);
        assert_eq!(plain(3, 103, false), [0xf0, 0x63]);
        assert_eq!(plain(3, 172, true), []);
        assert_eq!(plain(2, 99, true), [0xe0, 0x12, 0xe0, 0x7c]);
        assert_eq!(plain(2, 99, false), [0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12]);
        assert_eq!(plain(2, 119, true), [0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77]);
        assert_eq!(plain(2, 119, false), []);
        let alt = Modifiers { alt: true, ..Default::default() };
        assert_eq!(sequence(2, 99, true, alt), [0x84]);
        let ctrl = Modifiers { ctrl: true, ..Default::default() };
        assert_eq!(sequence(2, 119, true, ctrl), [0xe0, 0x7e, 0xe0, 0xf0, 0x7e]);
    }
}
