//! Events as the bytes of a frame.
//!
//! A batch begins with its number, so that one that is missing is missed, and with the number of the next digest, from
//! which ticks count: it can be read without those before it.

mod put;
mod register;
mod take;

pub(super) use put::Batch;
pub(super) use take::BatchReader;

use super::DIGEST_INTERVAL;
use reprise_core::clock::Tick;

/// Bytes of a digest.
const DIGEST_SIZE: usize = 5;
/// The first byte of each record.
mod tag {
    pub(super) const DIGESTS: u8 = 0;
    pub(super) const CHARDEV: u8 = 1;
    pub(super) const CONNECTED: u8 = 2;
    pub(super) const DISCONNECTED: u8 = 3;
    pub(super) const FRAME: u8 = 4;
    pub(super) const KEY_DOWN: u8 = 5;
    pub(super) const KEY_UP: u8 = 6;
    pub(super) const POINTER: u8 = 7;
    pub(super) const POWER_BUTTON: u8 = 8;
    pub(super) const RESET: u8 = 9;
    pub(super) const QUIT: u8 = 10;
    pub(super) const CLUSTER_FAILED: u8 = 11;
    pub(super) const RANDOM: u8 = 12;
    pub(super) const END: u8 = 13;
    pub(super) const EDIT_MEMORY: u8 = 14;
    pub(super) const EDIT_REGISTER: u8 = 15;
}

/// The tick of a digest.
fn digest_tick(number: u64) -> Option<Tick> {
    number.checked_mul(DIGEST_INTERVAL)
}

/// Where ticks of a batch count from.
fn base(next_digest: u64) -> Option<Tick> {
    digest_tick(next_digest.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Event;
    use reprise_core::backend::ChardevId;
    use reprise_core::door::HostInput;
    use reprise_core::machine::Digest;

    fn digest(number: u64) -> (Tick, Event) {
        (number * DIGEST_INTERVAL, Event::Digest(Digest { sum: 0xfedc, weighted: number as u32 }))
    }

    fn bytes_of(number: u64, next_digest: u64, events: &[(Tick, Event)]) -> Vec<u8> {
        let mut batch = Batch::new(number, next_digest);
        events.iter().for_each(|(tick, event)| batch.push(*tick, event));
        batch.bytes().to_vec()
    }

    fn events_of(bytes: Vec<u8>) -> Vec<(Tick, Event)> {
        let mut reader = BatchReader::new(bytes).unwrap();
        std::iter::from_fn(|| reader.next().unwrap()).collect()
    }

    #[test]
    fn a_digest_takes_5_bytes_and_its_run_3() {
        let events: Vec<_> = (1..=300).map(digest).collect();
        assert_eq!(bytes_of(0, 1, &events[..32]).len(), 2 + 3 + 32 * 5);
        assert_eq!(events_of(bytes_of(0, 1, &events)), events);
    }

    #[test]
    fn events_of_one_tick_keep_their_order_and_digests_may_be_left_out() {
        let press = |tick| (tick, Event::Input(HostInput::PowerButton));
        let at = DIGEST_INTERVAL;
        let events =
            [digest(0), press(5), press(at), digest(1), press(at), digest(4), digest(5), press(5 * at + 1), digest(9)];
        assert_eq!(events_of(bytes_of(7, 0, &events)), events);
        assert_eq!(events_of(bytes_of(7, 5, &events[6..])), events[6..]);
    }

    #[test]
    fn an_input_takes_its_payload_and_at_most_16_bytes() {
        let bytes = vec![1; 5000];
        let input = HostInput::Chardev { chardev: ChardevId(u16::MAX), bytes };
        let event = [(DIGEST_INTERVAL - 1, Event::Input(input))];
        assert!(bytes_of(0, 0, &event).len() <= 2 + 16 + 5000);
    }

    #[test]
    fn ticks_past_the_end_of_time_are_malformed() {
        assert!(BatchReader::new([vec![0], vec![0xff; 9], vec![1]].concat()).is_err());
        let late = [[0, 1, tag::QUIT].as_slice(), &[0xff; 9], &[1]].concat();
        let again = [late.as_slice(), &[tag::QUIT, 1]].concat();
        assert_eq!(events_of(late.clone())[0].0, u64::MAX);
        let mut reader = BatchReader::new(again).unwrap();
        assert!(reader.next().is_ok() && reader.next().is_err());
        let mut digests = BatchReader::new([&late[..], &[tag::DIGESTS, 0, 1, 0, 0, 0, 0, 0, 0]].concat()).unwrap();
        assert!(digests.next().is_ok() && digests.next().is_err(), "a digest before what came before");
        let mut empty = BatchReader::new(vec![0, 0, tag::DIGESTS, 0, 0]).unwrap();
        assert!(empty.next().is_err());
    }
}
