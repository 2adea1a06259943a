//! Names of guest addresses, from what `nm` writes (the kernel's `System.map` and `/proc/kallsyms` are such text).

/// Names by address; no address is named twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Symbols {
    sorted: Vec<(u64, String)>,
}

impl Symbols {
    /// Reads lines of address, kind and name; others are skipped, and so are the kinds that are no code.
    pub fn parse(text: &str) -> Self {
        let mut sorted: Vec<(u64, String)> = text.lines().filter_map(symbol).collect();
        sorted.sort();
        sorted.dedup_by_key(|(address, _)| *address);
        Self { sorted }
    }

    /// What to call the code at an address: the symbol that it follows and the distance, or the address.
    pub fn name(&self, address: u64) -> String {
        let after = self.sorted.partition_point(|(start, _)| *start <= address);
        match after.checked_sub(1).map(|last| &self.sorted[last]) {
            Some((start, name)) if is_near(*start, address) => format!("guest {name}+{:#x}", address - start),
            _ => format!("guest {address:#x}"),
        }
    }
}

/// Whether one function may reach from a symbol to an address.
fn is_near(start: u64, address: u64) -> bool {
    address - start < 1 << 20
}

fn symbol(line: &str) -> Option<(u64, String)> {
    let mut words = line.split_ascii_whitespace();
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    let is_code = matches!(words.next()?, "t" | "T" | "w" | "W");
    let name = words.next()?.to_owned();
    is_code.then_some((address, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "\
ffffffff81000000 T _text
ffffffff81000000 T startup_64
ffffffff81000100 t do_one [module]
ffffffff81000200 D jiffies
                 U printf
0000000000401000 T main
";

    #[test]
    fn addresses_are_named_by_the_code_that_they_follow() {
        let symbols = Symbols::parse(MAP);
        assert_eq!(symbols.name(0xffff_ffff_8100_0000), "guest _text+0x0");
        assert_eq!(symbols.name(0xffff_ffff_8100_0210), "guest do_one+0x110");
        assert_eq!(symbols.name(0x40_1fff), "guest main+0xfff");
    }

    #[test]
    fn addresses_that_follow_nothing_name_themselves() {
        let symbols = Symbols::parse(MAP);
        assert_eq!(symbols.name(0x400), "guest 0x400");
        assert_eq!(symbols.name(0x7fff_0000_1000), "guest 0x7fff00001000");
        assert_eq!(Symbols::parse("").name(u64::MAX), "guest 0xffffffffffffffff");
    }
}
