//! `first,name=value,...`: a comma in a value is written twice.

use crate::usage::UsageError;

/// A value that is a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// The first item, if it is no `name=value`.
    pub first: Option<String>,
    /// The others in order; one without `=` is a switch that is `on`.
    pub items: Vec<(String, String)>,
}

impl List {
    /// Takes `text` apart.
    pub fn parse(text: &str) -> Self {
        let mut parts = split(text).into_iter().peekable();
        let first = parts.next_if(|part| !part.contains('='));
        let item = |part: String| match part.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (part, "on".to_owned()),
        };
        Self { first: first.filter(|first| !first.is_empty()), items: parts.map(item).collect() }
    }

    /// Takes the value of `name` out of the list; the last one counts.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let found = self.items.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.clone());
        self.items.retain(|(n, _)| n != name);
        found
    }

    /// Takes every value of `name` out of the list, in order.
    pub fn take_all(&mut self, name: &str) -> Vec<String> {
        let values = self.items.extract_if(.., |(n, _)| n == name).map(|(_, value)| value);
        values.collect()
    }

    /// Refuses what is left in the list of the option `option`, which knows only `choices`.
    pub fn finish(self, option: &str, choices: &[&str]) -> Result<(), UsageError> {
        match self.items.first() {
            Some((name, _)) => Err(UsageError::unknown(&format!("property of {option}"), name, choices)),
            None => Ok(()),
        }
    }
}

/// Splits at single commas; a double one stands for itself.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == ',' && chars.next_if_eq(&',').is_none() {
            parts.push(String::new());
        } else {
            parts.last_mut().expect("there is always a last part").push(c);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_apart_at_single_commas() {
        let list = List::parse("loader,file=a,,b.elf,force-raw,addr=0x10=3");
        assert_eq!(list.first.as_deref(), Some("loader"));
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(list.items, [pair("file", "a,b.elf"), pair("force-raw", "on"), pair("addr", "0x10=3")]);
    }

    #[test]
    fn the_first_item_may_be_missing() {
        assert_eq!(List::parse("size=1G"), List { first: None, items: vec![("size".into(), "1G".into())] });
        assert_eq!(List::parse(""), List { first: None, items: vec![] });
    }
}
