//! `-d`: what to log.

use crate::usage::UsageError;

/// Items that can be logged, and what they show. Each is the target of its log messages.
pub const LOG_ITEMS: [(&str, &str); 5] = [
    ("int", "interrupts and exceptions that a vCPU takes"),
    ("cpu_reset", "resets of the machine and of single vCPUs"),
    ("guest_errors", "what a guest does that no driver should"),
    ("gdb", "packets from and to a gdb client, and what of them cannot be understood"),
    ("unimp", "what a guest asks for that is not modelled"),
];

/// The items that `text` lists.
pub fn log_items(text: &str) -> Result<Vec<&'static str>, UsageError> {
    let names = LOG_ITEMS.map(|(name, _)| name);
    let find = |item: &str| names.into_iter().find(|name| *name == item);
    text.split(',').map(|item| find(item).ok_or_else(|| UsageError::unknown("log item", item, &names))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_separated_by_commas() {
        assert_eq!(log_items("int,guest_errors").unwrap(), ["int", "guest_errors"]);
        let error = log_items("int,guest_error").unwrap_err().to_string();
        assert!(error.starts_with("unknown log item 'guest_error'; did you mean 'guest_errors'?"), "{error}");
    }
}
