//! Tests of the recording file through what others use of it.

mod round_trip;
mod samples;
