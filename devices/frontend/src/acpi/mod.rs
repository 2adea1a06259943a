//! ACPI: the tables that describe the board, and the fixed hardware.

pub mod ich9_pm;
