//! What gdb says to programs: GDB/MI, of which there is here as much as the tests read.
//!
//! Debugging with GDB, 27.2 "GDB/MI Command Syntax".

/// A line that gdb wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The answer to the command with that number: `done`, `running`, `error` and so on.
    Result {
        /// The command's number.
        token: u32,
        /// How it went.
        class: String,
        /// What there is to say.
        fields: Fields,
    },
    /// The target has stopped.
    Stopped(Fields),
    /// What the command says to a person, or the target says.
    Text(String),
    /// What this does not look at.
    Other,
}

/// Values by their names; a list's have none.
pub type Fields = Vec<(String, Value)>;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A string.
    Text(String),
    /// A tuple or a list.
    Fields(Fields),
}

/// The text at `path` in `fields`.
#[must_use]
pub fn text<'a>(fields: &'a [(String, Value)], path: &[&str]) -> Option<&'a str> {
    let (name, rest) = path.split_first()?;
    let (_, value) = fields.iter().find(|(key, _)| key == name)?;
    match value {
        Value::Text(text) if rest.is_empty() => Some(text),
        Value::Text(_) => None,
        Value::Fields(fields) => text(fields, rest),
    }
}

impl Record {
    /// Reads a line.
    #[must_use]
    pub fn read(line: &str) -> Self {
        let digits = line.len() - line.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let token = line[..digits].parse().unwrap_or(0);
        let mut parser = Parser { rest: &line[digits..] };
        match parser.take_char() {
            Some('^') => {
                let class = parser.name().to_owned();
                Self::Result { token, class, fields: parser.fields_after_comma() }
            }
            Some('*') if parser.name() == "stopped" => Self::Stopped(parser.fields_after_comma()),
            Some('~' | '@') => parser.string().map_or(Self::Other, Self::Text),
            _ => Self::Other,
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn take_char(&mut self) -> Option<char> {
        let first = self.rest.chars().next()?;
        self.rest = &self.rest[first.len_utf8()..];
        Some(first)
    }

    fn take(&mut self, wanted: char) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn name(&mut self) -> &'a str {
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || "-_".contains(c))).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        name
    }

    fn fields_after_comma(&mut self) -> Fields {
        if self.take(',') { self.fields() } else { Fields::new() }
    }

    fn fields(&mut self) -> Fields {
        let mut fields = Fields::new();
        loop {
            let name = self.name().to_owned();
            self.take('=');
            let Some(value) = self.value() else { return fields };
            fields.push((name, value));
            if !self.take(',') {
                return fields;
            }
        }
    }

    fn value(&mut self) -> Option<Value> {
        if self.rest.starts_with('"') {
            return self.string().map(Value::Text);
        }
        if !(self.take('{') || self.take('[')) {
            return None;
        }
        let fields = self.fields();
        (self.take('}') || self.take(']')).then_some(Value::Fields(fields))
    }

    /// A string of C.
    fn string(&mut self) -> Option<String> {
        if !self.take('"') {
            return None;
        }
        let mut bytes = Vec::new();
        loop {
            match self.take_char()? {
                '"' => return Some(String::from_utf8_lossy(&bytes).into_owned()),
                '\\' => bytes.push(self.escaped()?),
                plain => bytes.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }

    fn escaped(&mut self) -> Option<u8> {
        Some(match self.take_char()? {
            'n' => b'\n',
            't' => b'\t',
            'r' => b'\r',
            digit @ '0'..='3' => {
                let octal = format!("{digit}{}{}", self.take_char()?, self.take_char()?);
                u8::from_str_radix(&octal, 8).ok()?
            }
            other => u8::try_from(other).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_has_its_parts() {
        let line = r#"*stopped,reason="breakpoint-hit",disp="keep",bkptno="1",frame={addr="0x0000000000101370",func="quicksort",args=[{name="words",value="0x\"1"}]},thread-id="1",stopped-threads="all""#;
        let Record::Stopped(fields) = Record::read(line) else { panic!("no stop") };
        assert_eq!(text(&fields, &["reason"]), Some("breakpoint-hit"));
        assert_eq!(text(&fields, &["frame", "addr"]), Some("0x0000000000101370"));
        assert_eq!(text(&fields, &["frame", "args", "", "value"]), Some("0x\"1"));
        assert_eq!(text(&fields, &["stopped-threads"]), Some("all"));
        assert_eq!(text(&fields, &["frame"]), None);
    }

    #[test]
    fn a_result_has_its_number() {
        let error = Record::Result {
            token: 17,
            class: "error".into(),
            fields: vec![("msg".into(), Value::Text("no\nsuch \u{e9}".into()))],
        };
        assert_eq!(Record::read(r#"17^error,msg="no\nsuch \303\251""#), error);
        assert_eq!(Record::read("3^done"), Record::Result { token: 3, class: "done".into(), fields: Vec::new() });
    }

    #[test]
    fn text_of_gdb_and_of_the_target_are_read_alike() {
        assert_eq!(Record::read("~\"a\\n\""), Record::Text("a\n".into()));
        assert_eq!(Record::read(r#"@"b\t""#), Record::Text("b\t".into()));
        assert_eq!(Record::read("&\"typed\""), Record::Other);
        assert_eq!(Record::read("(gdb) "), Record::Other);
        assert_eq!(Record::read("=thread-created,id=\"1\""), Record::Other);
    }
}
