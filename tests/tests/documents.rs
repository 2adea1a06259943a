//! What the documents at the top of the tree name exists, and what they tell a reader to type is understood.

use reprise::cli;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the tree is there")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All text in backquotes outside of code blocks.
fn quoted(document: &str) -> Vec<String> {
    let prose: Vec<_> = document.split("```").step_by(2).collect();
    prose.iter().flat_map(|text| text.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// The commands in the shell blocks, with continued lines joined.
fn commands(document: &str) -> Vec<String> {
    let blocks = document.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("sh\n"));
    let joined: Vec<_> = blocks.map(|block| block.replace("\\\n", " ")).collect();
    joined.iter().flat_map(|block| block.lines()).map(str::to_owned).collect()
}

/// The words of a command; text in single quotes is one word.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in command.split('\'').enumerate() {
        match index % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

/// All Rust sources and manifests of the tree.
fn sources() -> String {
    fn visit(folder: &Path, text: &mut String) {
        let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                visit(&path, text);
            } else if name == "Cargo.toml" || path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut text = String::new();
    visit(&root(), &mut text);
    text
}

fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part))
}

#[test]
fn the_architecture_names_what_exists() {
    let document = read("ARCHITECTURE.md");
    assert!(document.lines().count() < 300, "ARCHITECTURE.md is to be read in one go");
    let (sources, readable) = (sources(), read("tools/src/cli/options.rs"));
    for name in quoted(&document) {
        let exists = if name.contains('/') {
            root().join(&name).exists()
        } else if let Some(option) = name.strip_prefix('-') {
            has_word(&readable, &option.split(' ').next().unwrap().replace('-', "_"))
        } else {
            name.split("::").all(|word| has_word(&sources, word.split('(').next().unwrap()))
        };
        assert!(exists, "ARCHITECTURE.md names `{name}`, which does not exist");
    }
}

#[track_caller]
fn check_command(document: &str, command: &str) {
    let words = words(command);
    let args = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["cargo", "run", "--release", "--", ..] => &words[3..],
        ["target/release/reprise", ..] => &words[..],
        ["cargo", "build" | "test", ..] => return,
        ["cargo", "run", "--release", "-p", "reprise-tests", "--bin", name, ..] => {
            let source = root().join(format!("tests/src/bin/{name}.rs"));
            assert!(source.is_file(), "{document}: no program '{name}' in tests/src/bin");
            return;
        }
        _ => {
            assert!(root().join(&words[0]).is_file(), "{document}: no program '{}'", words[0]);
            return;
        }
    };
    if let Err(error) = cli::parse(args.iter().map(Into::into)) {
        panic!("{document}: {command}: {error}");
    }
}

#[test]
fn commands_in_the_documents_are_understood() {
    let readme = commands(&read("README.md"));
    assert_eq!(readme[..2], ["cargo run --release -- demo", "cargo test --workspace"], "the README opens with these");
    readme.iter().for_each(|command| check_command("README.md", command));
    let walkthroughs = commands(&read("tools/GDB.md"));
    assert!(walkthroughs.len() > 4, "{walkthroughs:?}");
    walkthroughs.iter().for_each(|command| check_command("tools/GDB.md", command));
}

#[test]
fn the_readme_has_every_exit_status() {
    let document = read("README.md");
    for line in reprise::exit_status::TABLE.lines() {
        let status = line.split_whitespace().next().unwrap();
        assert!(document.contains(&format!("\n| {status} |")), "README.md lacks exit status {status}");
    }
}
