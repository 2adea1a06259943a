//! A debugger that speaks gdb's protocol and takes no time of its own.
//!
//! Debugging with GDB, appendix E "GDB Remote Serial Protocol".

use anyhow::{Context, Result, bail, ensure};
use std::io::{BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// A connection.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Client {
    /// Greets the server at the other end.
    pub fn new(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Self { reader: BufReader::new(stream.try_clone()?), writer: stream };
        let features = "swbreak+;hwbreak+;multiprocess+;vContSupported+;QThreadEvents+;no-resumed+";
        client.ask(&format!("qSupported:{features}"))?;
        let answer = client.ask("QStartNoAckMode")?;
        ensure!(answer == "OK", "QStartNoAckMode: {answer}");
        client.ask("?")?;
        Ok(client)
    }

    /// Sends a packet; what comes back.
    pub fn ask(&mut self, packet: &str) -> Result<String> {
        self.send(packet)?;
        self.receive().with_context(|| format!("no answer to '{packet}'"))
    }

    /// Asks for something that must be taken.
    pub fn demand(&mut self, packet: &str) -> Result<()> {
        let answer = self.ask(packet)?;
        ensure!(answer == "OK", "'{packet}': {answer}");
        Ok(())
    }

    /// Resumes; the stop.
    pub fn resume(&mut self, packet: &str) -> Result<String> {
        self.send(packet)?;
        loop {
            let answer = self.receive().with_context(|| format!("no stop after '{packet}'"))?;
            match answer.as_bytes() {
                [b'T' | b'S', ..] => return Ok(answer),
                [b'O', ..] if answer != "OK" => {}
                _ => bail!("'{packet}': {answer}"),
            }
        }
    }

    /// A command of the server's monitor; what it says.
    pub fn monitor(&mut self, command: &str) -> Result<String> {
        self.send(&format!("qRcmd,{}", hex(command.as_bytes())))?;
        let mut said = String::new();
        loop {
            let answer = self.receive().with_context(|| format!("no answer to '{command}'"))?;
            match answer.strip_prefix('O') {
                Some("K") => return Ok(said),
                Some(text) => said.push_str(&unhex(text)?),
                None => bail!("'{command}': {answer}"),
            }
        }
    }

    fn send(&mut self, packet: &str) -> Result<()> {
        let sum = packet.bytes().fold(0u8, u8::wrapping_add);
        self.writer.write_all(format!("${packet}#{sum:02x}").as_bytes()).context("the server is gone")
    }

    /// The next packet. Acknowledgements, as there are before both sides do without, are passed over.
    fn receive(&mut self) -> Result<String> {
        while self.byte()? != b'$' {}
        let mut packet = Vec::new();
        loop {
            match self.byte()? {
                b'#' => break,
                b'}' => packet.push(self.byte()? ^ 0x20),
                b'*' => {
                    let count = self.byte()?.saturating_sub(29);
                    let last = *packet.last().context("a run of nothing")?;
                    packet.extend(std::iter::repeat_n(last, count.into()));
                }
                byte => packet.push(byte),
            }
        }
        self.byte()?;
        self.byte()?;
        Ok(String::from_utf8_lossy(&packet).into_owned())
    }

    fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.reader.read_exact(&mut byte).context("the server says nothing more")?;
        Ok(byte[0])
    }
}

/// Two digits for each byte.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Result<String> {
    let byte = |pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?);
    let bytes = text.as_bytes().chunks(2).map(byte).collect::<Result<Vec<u8>>>()?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_there_and_back() {
        assert_eq!(hex(b"when"), "7768656e");
        assert_eq!(unhex("7768656e").unwrap(), "when");
        assert!(unhex("7x").is_err());
    }

    #[test]
    fn packets_are_framed_and_answers_unpacked() {
        let (near, far) = UnixStream::pair().unwrap();
        let mut server = far;
        server.write_all(b"+$OK#9a+$OK#9a$T05#b9+$0* 1}]#00$O6869#00$OK#9a").unwrap();
        let mut client = Client::new(near).unwrap();
        assert_eq!(client.ask("m0,1").unwrap(), "00001}");
        assert_eq!(client.monitor("x").unwrap(), "hi");
        let mut sent = vec![0; 512];
        let count = server.read(&mut sent).unwrap();
        assert!(String::from_utf8_lossy(&sent[..count]).ends_with("$?#3f$m0,1#fa$qRcmd,78#92"));
    }
}
