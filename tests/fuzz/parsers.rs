//! Bytes of others' against every parser that meets them: nothing may panic, take two seconds or 512 MB, be told at length, or repeat
//! a secret. `make fuzz` builds this with libFuzzer, whose arguments it takes; built without it, it reads the files that it is given.
//! Which parser: `DFNS_KEYS_FUZZ=NAME`.
#![cfg_attr(fuzzing, no_main)]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test reads files and prints as it likes"
)]

use std::collections::HashSet;
use std::sync::LazyLock;

use dfns_keys::fuzzing::{PARSERS, Parser};

/// Secrets as they are pasted: a private key, a token. The seeds hold them.
const PASTED: [&str; 2] = [include_str!("secrets/key.pem"), include_str!("secrets/token.txt")];
/// So many characters in a row of a secret are a part of it.
const PIECE: usize = 32;
/// No refusal has more characters.
const LONGEST: usize = 1_000;

/// Every piece of the secret part of a secret: what all keys and tokens begin with, and a key's public half, are none.
static PIECES: LazyLock<HashSet<Vec<u8>>> = LazyLock::new(|| {
    let [key, token] = PASTED.map(|pasted| {
        let lines = pasted.lines().filter(|line| !line.starts_with("-----"));
        lines.collect::<String>()
    });
    let secrets = [&key[48..90], token.rsplit_once('.').expect("a token").1];
    secrets
        .iter()
        .flat_map(|secret| secret.as_bytes().windows(PIECE).map(<[u8]>::to_vec))
        .collect()
});

static PARSER: LazyLock<&Parser> = LazyLock::new(|| {
    let name = std::env::var("DFNS_KEYS_FUZZ").unwrap_or_default();
    let found = PARSERS.iter().find(|parser| parser.name == name);
    found.unwrap_or_else(|| panic!("DFNS_KEYS_FUZZ is none of {}", names().join(" ")))
});

fn names() -> Vec<&'static str> {
    PARSERS.iter().map(|parser| parser.name).collect()
}

fn hold(bytes: &[u8]) {
    for said in (PARSER.read)(bytes) {
        let length = said.chars().count();
        assert!(length < LONGEST, "a refusal of {length} characters");
        assert!(
            !said.as_bytes().windows(PIECE).any(|piece| PIECES.contains(piece)),
            "a refusal repeats a secret: {said}"
        );
    }
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hold(bytes));

#[cfg(not(fuzzing))]
fn main() {
    let files: Vec<_> = std::env::args_os().skip(1).collect();
    if files.is_empty() {
        println!("{}", names().join("\n"));
    }
    for file in files {
        hold(&std::fs::read(file).expect("a file of bytes"));
    }
}
