//! Back ends by id, as `-chardev`, `-drive`, `-netdev` and `-object` name them.

use crate::usage::UsageError;
use reprise_core::backend::BackendKind;

/// The back ends of one kind, in the order of their numbers.
#[derive(Clone, Debug)]
pub struct Named<T> {
    kind: BackendKind,
    /// Empty for one without an id.
    ids: Vec<String>,
    backends: Vec<T>,
}

impl<T> Named<T> {
    /// No back ends of `kind` so far.
    pub fn new(kind: BackendKind) -> Self {
        Self { kind, ids: Vec::new(), backends: Vec::new() }
    }

    /// All of them.
    pub fn backends(&self) -> &[T] {
        &self.backends
    }

    /// All of them, to complete what is said about them.
    pub fn backends_mut(&mut self) -> &mut [T] {
        &mut self.backends
    }

    /// Their ids; empty for one that has none.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Adds one; its number.
    pub fn add(&mut self, id: &str, backend: T) -> Result<u16, UsageError> {
        if !id.is_empty() && self.ids.iter().any(|other| other == id) {
            return Err(UsageError::new(format!("id '{id}' is taken: each id names one {}", self.kind)));
        }
        let number = u16::try_from(self.backends.len())
            .map_err(|_| UsageError::new(format!("there can be no more than 65536 of one kind: {}", self.kind)))?;
        self.ids.push(id.into());
        self.backends.push(backend);
        Ok(number)
    }

    /// The number of the one called `id`.
    pub fn find(&self, id: &str) -> Result<u16, UsageError> {
        let names: Vec<_> = self.ids.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
        match self.ids.iter().position(|name| !id.is_empty() && name == id) {
            Some(index) => Ok(index as u16),
            None if names.is_empty() => {
                Err(UsageError::new(format!("there is no {} '{id}': add {}", self.kind, self.example(id))))
            }
            None => Err(UsageError::unknown(&self.kind.to_string(), id, &names)),
        }
    }

    fn example(&self, id: &str) -> String {
        match self.kind {
            BackendKind::Chardev => format!("-chardev null,id={id}, say"),
            BackendKind::Disk => format!("-drive file=FILE,if=none,id={id}, say"),
            BackendKind::Netdev => format!("-netdev user,id={id}, say"),
            BackendKind::Rng => format!("-object rng-random,id={id}, say"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_name_one_back_end_each() {
        let mut rngs = Named::new(BackendKind::Rng);
        let error = rngs.find("r").unwrap_err().to_string();
        assert_eq!(error, "there is no source of random numbers 'r': add -object rng-random,id=r, say");
        assert_eq!((rngs.add("", 'a').unwrap(), rngs.add("r", 'b').unwrap()), (0, 1));
        assert_eq!((rngs.find("r").unwrap(), rngs.backends()), (1, &['a', 'b'][..]));
        assert!(rngs.add("r", 'c').unwrap_err().to_string().contains("id 'r' is taken"));
        assert!(rngs.find("").is_err() && rngs.find("q").is_err());
    }
}
