//! What the DHCP server says to whom.

use super::frames::udp;
use super::*;

/// A client's hardware address ends with this.
type Client = u8;

/// What the server said.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    kind: u8,
    address: Ipv4Addr,
    options: Vec<(u8, Vec<u8>)>,
}

impl Answer {
    fn option(&self, kind: u8) -> Vec<u8> {
        let all = self.options.iter().filter(|(found, _)| *found == kind);
        all.flat_map(|(_, value)| value.clone()).collect()
    }
}

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;
const RELEASE: u8 = 7;
const INFORM: u8 = 8;

/// Sends the server a message.
fn say(user: &mut User, client: Client, kind: u8, options: &[(u8, [u8; 4])]) -> Option<Answer> {
    let mut message = vec![0; 240];
    message[..8].copy_from_slice(&[1, 1, 6, 0, 0xCA, 0xFE, 0, client]);
    message[28..34].copy_from_slice(&[0x52, 0x54, 0, 0, 0, client]);
    message[236..240].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
    message.extend([53, 1, kind]);
    options.iter().for_each(|(kind, value)| message.extend([&[*kind, 4], &value[..]].concat()));
    message.push(255);
    user.send(&udp([0, 0, 0, 0], 68, [255, 255, 255, 255], 67, &message));
    let frame = user.receive()?;
    assert_eq!(frame[..6], [0xFF; 6], "who has no address hears only what is for all");
    assert_eq!((&frame[26..30], &frame[30..34]), (&[10, 0, 2, 2][..], &[255; 4][..]));
    let answer = &frame[42..];
    assert_eq!((answer[0], &answer[4..8], answer[33]), (2, &[0xCA, 0xFE, 0, client][..], client));
    let mut rest = &answer[240..];
    let mut options = Vec::new();
    while rest[0] != 255 {
        let length = usize::from(rest[1]);
        options.push((rest[0], rest[2..2 + length].to_vec()));
        rest = &rest[2 + length..];
    }
    let address = Ipv4Addr::from(<[u8; 4]>::try_from(&answer[16..20]).unwrap());
    assert_eq!(options[0].0, 53);
    Some(Answer { kind: options.remove(0).1[0], address, options })
}

fn ask(user: &mut User, client: Client, kind: u8, wanted: [u8; 4]) -> (u8, Ipv4Addr) {
    let answer = say(user, client, kind, &[(50, wanted)]).unwrap();
    (answer.kind, answer.address)
}

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 2, last)
}

#[test]
fn every_client_gets_an_address_of_its_own_and_keeps_it() {
    let mut user = User::new(UserOptions::default()).unwrap();
    assert_eq!(ask(&mut user, 1, DISCOVER, [0; 4]), (OFFER, address(15)));
    assert_eq!(ask(&mut user, 1, REQUEST, [10, 0, 2, 15]), (ACK, address(15)));
    assert_eq!(ask(&mut user, 2, DISCOVER, [10, 0, 2, 15]), (OFFER, address(16)));
    assert_eq!(ask(&mut user, 2, DISCOVER, [10, 0, 2, 20]), (OFFER, address(20)));
    assert_eq!(ask(&mut user, 2, REQUEST, [10, 0, 2, 15]), (NAK, Ipv4Addr::UNSPECIFIED));
    assert_eq!(ask(&mut user, 2, REQUEST, [10, 0, 2, 20]), (ACK, address(20)));
    assert_eq!(ask(&mut user, 1, DISCOVER, [10, 0, 2, 22]), (OFFER, address(15)));
    assert_eq!(say(&mut user, 1, RELEASE, &[]), None);
    assert_eq!(ask(&mut user, 3, DISCOVER, [0; 4]), (OFFER, address(15)));
}

#[test]
fn an_address_that_is_not_ours_to_give_is_refused() {
    let mut user = User::new(UserOptions::default()).unwrap();
    for wanted in [[10, 0, 2, 14], [10, 0, 2, 31], [192, 168, 1, 5], [0, 0, 0, 0]] {
        assert_eq!(ask(&mut user, 1, REQUEST, wanted), (NAK, Ipv4Addr::UNSPECIFIED));
    }
    let other = [(50, [10, 0, 2, 15]), (54, [10, 0, 2, 99])];
    assert_eq!(say(&mut user, 1, REQUEST, &other), None, "it speaks to another server");
}

#[test]
fn addresses_are_not_given_twice_though_there_are_none_left() {
    let mut user = User::new(UserOptions::default()).unwrap();
    for client in 0..16 {
        assert_eq!(ask(&mut user, client, REQUEST, [10, 0, 2, 15 + client]), (ACK, address(15 + client)));
    }
    assert_eq!(say(&mut user, 16, DISCOVER, &[]), None);
}

#[test]
fn a_client_is_told_what_was_asked_for() {
    let options = UserOptions {
        hostname: Some("guest".to_owned()),
        domainname: Some("example.org".to_owned()),
        dnssearch: vec!["example.org".to_owned(), "lab.example.org.".to_owned()],
        ..UserOptions::default()
    };
    let answer = say(&mut User::new(options).unwrap(), 1, REQUEST, &[(50, [10, 0, 2, 15])]).unwrap();
    for (option, value) in [
        (1, &[255, 255, 255, 0][..]),
        (3, &[10, 0, 2, 2]),
        (6, &[10, 0, 2, 3]),
        (12, b"guest"),
        (15, b"example.org"),
        (51, &86400u32.to_be_bytes()),
        (54, &[10, 0, 2, 2]),
        (119, b"\x07example\x03org\0\x03lab\x07example\x03org\0"),
    ] {
        assert_eq!(answer.option(option), value, "{option}");
    }
}

#[test]
fn a_restricted_client_is_told_of_nobody_who_would_help_it_out() {
    let options = UserOptions { restrict: true, ..UserOptions::default() };
    let answer = say(&mut User::new(options).unwrap(), 1, REQUEST, &[(50, [10, 0, 2, 15])]).unwrap();
    assert_eq!((answer.kind, answer.option(3), answer.option(6)), (ACK, vec![], vec![]));
}

#[test]
fn a_client_with_an_address_is_told_the_rest() {
    let mut user = User::new(UserOptions::default()).unwrap();
    let answer = say(&mut user, 1, INFORM, &[]).unwrap();
    assert_eq!((answer.kind, answer.address, answer.option(51)), (ACK, Ipv4Addr::UNSPECIFIED, vec![]));
    assert_eq!(answer.option(6), [10, 0, 2, 3]);
}

#[test]
fn a_client_that_asks_for_more_time_is_answered_at_its_address() {
    let mut user = User::new(UserOptions::default()).unwrap();
    assert_eq!(ask(&mut user, 0x56, REQUEST, [10, 0, 2, 15]), (ACK, address(15)));
    let mut message = vec![0; 240];
    message[..4].copy_from_slice(&[1, 1, 6, 0]);
    message[12..16].copy_from_slice(&[10, 0, 2, 15]);
    message[28..34].copy_from_slice(&[0x52, 0x54, 0, 0, 0, 0x56]);
    message[236..240].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
    message.extend([53, 1, REQUEST, 255]);
    user.send(&udp([10, 0, 2, 15], 68, [10, 0, 2, 2], 67, &message));
    let frame = user.receive().unwrap();
    assert_eq!((&frame[..6], &frame[30..34]), (frames::GUEST.as_bytes(), &[10, 0, 2, 15][..]));
    assert_eq!(frame[42 + 240..][..3], [53, 1, ACK]);
}
