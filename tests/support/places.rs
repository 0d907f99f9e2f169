//! A plug-in of the tests' own: it keeps what it is given, writes down all that it sees, and has moods.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::TestEnv;

/// With what a shell has alone. What stands in `$HOME/mood-NAME` says what goes wrong. Its place is `$HOME/place-NAME`.
const SCRIPT: &str = r#"#!/bin/sh
name=${0##*-}
IFS= read -r request
printf '%s\n' "$@" >>"$HOME/seen/arguments"
export -p >>"$HOME/seen/environment"
case $request in
*'"verb":"put"'*) verb=put ;;
*'"verb":"get"'*) verb=get ;;
*) verb=describe ;;
esac
echo "$name $verb" >>"$HOME/seen/verbs"
line() { line=; { IFS= read -r line <"$HOME/$1-$name"; } 2>/dev/null; }
keep() { printf '{"version":1,"ok":true,"credential":%s' "${request##*\"credential\":}" >"$HOME/place-$name"; }
hang() { kill -STOP $$; exit; }
line mood
case $verb-$line in
*-rubbish) echo "<html>"; exit ;;
*-flood) while :; do y=y$y; printf %s "$y"; done ;;
*-hang) hang ;;
*-signedout) echo "error: please sign in again" >&2; exit 4 ;;
put-refuse) echo '{"version":1,"error":"no room left"}'; exit 1 ;;
put-echo) printf '%s' "$request" >&2; exit 1 ;;
put-lose) keep; exit 1 ;;
put-hanglater) keep; hang ;;
put-takesother) echo '{"version":1,"ok":true}'; exit ;;
describe-*) line where; echo "{\"version\":1,\"ok\":true,\"place\":\"$line\"}"; exit ;;
put-*) keep; echo '{"version":1,"ok":true}'; exit ;;
get-unreadable) echo '{"version":1,"error":"signed out"}'; exit 1 ;;
get-blind) echo '{"version":1,"ok":true,"read_back":false}'; exit ;;
get-*) line place; printf '%s\n' "${line:-{\"version\":1,\"ok\":true\}}"; exit ;;
esac
"#;

/// Programs of these names, in a folder of their own on the PATH.
pub fn plugins(env: &TestEnv, names: &[&str]) {
    for folder in ["bin", "seen"] {
        std::fs::create_dir_all(env.path(folder)).unwrap();
    }
    for name in names {
        program(env, &format!("dfns-keys-target-{name}"), SCRIPT);
        env.write(&format!("where-{name}"), format!("the place of {name}"));
    }
}

/// A program on the PATH.
pub fn program(env: &TestEnv, name: &str, script: &str) -> PathBuf {
    std::fs::create_dir_all(env.path("bin")).unwrap();
    let path = env.write(&format!("bin/{name}"), script);
    super::set_mode(&path, 0o755);
    path
}

/// The key that a plug-in's place has.
pub fn key_at(env: &TestEnv, name: &str) -> Option<String> {
    let began = Instant::now();
    let kept: Value = loop {
        let text = std::fs::read_to_string(env.path(&format!("place-{name}"))).ok()?;
        match serde_json::from_str(&text) {
            Ok(kept) => break kept,
            // A killed run's plug-in is writing it still.
            Err(_) if began.elapsed() < Duration::from_secs(20) => std::thread::sleep(Duration::from_millis(2)),
            Err(error) => panic!("{error}: {text}"),
        }
    };
    Some(kept["credential"]["DFNS_PRIVATE_KEY"].as_str().unwrap().to_owned())
}

/// How often a plug-in was asked for something.
pub fn asked(env: &TestEnv, what: &str) -> usize {
    let verbs = std::fs::read_to_string(env.path("seen/verbs")).unwrap_or_default();
    verbs.lines().filter(|line| *line == what).count()
}
