//! Tests of the recording file through what others use of it.

mod damage;
mod frames;
mod fuzz;
mod golden;
mod refusals;
mod round_trip;
mod samples;
mod writing;
