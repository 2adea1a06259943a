//! The events of a recording, in order, read frame by frame.

use super::batch::BatchReader;
use super::bytes::Malformed;
use super::frame::Kind;
use super::scan::{in_order, in_sequence};
use super::source::Source;
use super::{Event, ReadError};
use reprise_core::clock::Tick;

/// The events from a tick on. After an error there are no more: what follows damage cannot be replayed.
pub struct Events<'a> {
    source: &'a Source,
    /// Events before it are passed over.
    from: Tick,
    /// Where the next frame is.
    offset: u64,
    /// Where the last one ends.
    end: u64,
    /// How many frames of events there are.
    batches: u64,
    /// The number of the next frame; any, before the first one.
    number: Option<u64>,
    last_tick: Tick,
    /// Up to where frames are known to be whole.
    whole: u64,
    /// The frame that is being read and its offset.
    batch: Option<(u64, BatchReader)>,
    over: bool,
}

impl<'a> Events<'a> {
    /// The events from tick `from` on in the `batches` frames before `end`; `start` is where to begin, and which frame is
    /// there if it is known.
    pub(super) fn new(source: &'a Source, from: Tick, start: (u64, Option<u64>), end: u64, batches: u64) -> Self {
        let (offset, number) = start;
        Self { source, from, offset, end, batches, number, last_tick: 0, whole: offset, batch: None, over: false }
    }

    fn event(&mut self) -> Result<Option<(Tick, Event)>, ReadError> {
        loop {
            let Some((offset, batch)) = &mut self.batch else {
                if self.next_batch()? {
                    continue;
                }
                return Ok(None);
            };
            let damaged = |malformed| self.source.damaged(*offset, malformed);
            let Some((tick, event)) = batch.next().map_err(damaged)? else {
                self.batch = None;
                continue;
            };
            in_order(self.last_tick, tick).map_err(damaged)?;
            self.last_tick = tick;
            if tick >= self.from {
                return Ok(Some((tick, event)));
            }
        }
    }

    /// Goes on to the next frame of events; false if there is none.
    fn next_batch(&mut self) -> Result<bool, ReadError> {
        while self.offset < self.end {
            let place = self.source.place(self.offset)?;
            self.offset = place.end();
            if place.head.kind == Kind::Events {
                let damaged = |malformed| self.source.damaged(place.offset, malformed);
                let batch = BatchReader::new(self.source.payload(&place)?).map_err(damaged)?;
                in_sequence(self.number.unwrap_or(batch.number()), batch.number()).map_err(damaged)?;
                self.number = Some(batch.number().saturating_add(1));
                self.whole = place.end();
                self.batch = Some((place.offset, batch));
                return Ok(true);
            }
            if self.number.is_none() {
                let found = format!("one of kind '{}'", place.head.kind.name());
                let malformed = Malformed::new("a frame of kind 'events' where the index has one", found);
                return Err(self.source.damaged(place.offset, malformed));
            }
        }
        self.check_end().map(|()| false)
    }

    /// All frames were there, and the last one ended where it should.
    fn check_end(&self) -> Result<(), ReadError> {
        let damaged = |expected, found| Err(self.source.damaged(self.end, Malformed::new(expected, found)));
        if self.offset != self.end {
            return damaged("the end of a frame".to_owned(), format!("a frame up to {:#x}", self.offset));
        }
        match self.number {
            Some(number) if number != self.batches => {
                damaged(format!("{} events frames", self.batches), number.to_string())
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Events<'_> {
    /// The first frame that is not whole. Frames of contents are passed over unchecked, so what went wrong may have begun
    /// before it was seen.
    fn first_damage(&self) -> Option<ReadError> {
        let mut offset = self.whole;
        while offset < self.end {
            match self.source.place(offset).and_then(|place| self.source.check(&place).map(|()| place.end())) {
                Ok(end) => offset = end,
                Err(error) => return Some(error),
            }
        }
        None
    }
}

impl Iterator for Events<'_> {
    type Item = Result<(Tick, Event), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let event = self.event().map_err(|error| self.first_damage().unwrap_or(error)).transpose();
        self.over = !matches!(event, Some(Ok(_)));
        event
    }
}
