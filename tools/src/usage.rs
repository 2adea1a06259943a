//! What is wrong with what the user asked for, said so that the next attempt works.

/// A refusal: nothing was started.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

impl UsageError {
    /// A refusal with this text: lower case, no full stop, what is wrong before what to do.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// What went wrong and why, from the outside in. A cause that its effect names already is not said twice.
    pub fn of(error: &anyhow::Error) -> Self {
        let text = error
            .chain()
            .map(ToString::to_string)
            .reduce(|text, cause| if text.ends_with(&cause) { text } else { format!("{text}: {cause}") });
        Self(text.unwrap_or_default())
    }

    /// `name` is no `kind` (an article and a noun in the plural make the rest: "no CPU model" and "CPU models").
    pub fn unknown(kind: &str, name: &str, choices: &[&str]) -> Self {
        let guess = nearest(name, choices).map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
        Self(format!("unknown {kind} '{name}'{guess}\nvalid choices: {}", choices.join(", ")))
    }
}

/// The choice that `name` most likely meant.
pub fn nearest<'a>(name: &str, choices: &[&'a str]) -> Option<&'a str> {
    let near = |choice: &&&str| strsim::normalized_damerau_levenshtein(name, choice);
    let best = choices.iter().max_by(|a, b| near(a).total_cmp(&near(b)))?;
    (near(&best) >= 0.6).then_some(*best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_understood() {
        let choices = ["-kernel", "-initrd", "-append"];
        assert_eq!(nearest("-kernle", &choices), Some("-kernel"));
        assert_eq!(nearest("-inird", &choices), Some("-initrd"));
        assert_eq!(nearest("-vnc", &choices), None);
    }

    #[test]
    fn a_cause_is_said_once() {
        let cause = || anyhow::anyhow!("no such file");
        assert_eq!(UsageError::of(&cause().context("-netdev tap")).to_string(), "-netdev tap: no such file");
        let named = cause().context("cannot open 'x': no such file").context("-netdev tap");
        assert_eq!(UsageError::of(&named).to_string(), "-netdev tap: cannot open 'x': no such file");
    }

    #[test]
    fn a_refusal_names_the_thing_and_the_choices() {
        let text = UsageError::unknown("CPU model", "x86-64-v9", &["x86-64-v1", "x86-64-v2"]).to_string();
        assert_eq!(
            text,
            "unknown CPU model 'x86-64-v9'; did you mean 'x86-64-v2'?\nvalid choices: x86-64-v1, x86-64-v2"
        );
    }
}
