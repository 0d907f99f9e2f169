//! Programs that write down what they were given: their environment, arguments and descriptors, and what they see of the
//! process that started them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::TestEnv;

/// A recipient of the plug-in that is installed here.
pub const RECIPIENT: &str = "age1canary13xx853";
/// Its identity.
pub const IDENTITY: &str = "AGE-PLUGIN-CANARY-16YNASS";

/// Writes down what a process has.
const WATCH: &str = r#"
watch() {
    tr '\0' '\n' <"/proc/$1/environ" | sed "s/^/$2 environment /"
    tr '\0' '\n' <"/proc/$1/cmdline" | sed "s/^/$2 argument /"
    for descriptor in "/proc/$1/fd/"*; do
        echo "$2 descriptor ${descriptor##*/} $(readlink "$descriptor")"
        # What is no file may never end.
        if [ -f "$descriptor" ]; then
            sed "s/^/$2 contents /" "$descriptor"
        fi
    done
}
"#;

/// Only then, so that the file is none of what is seen.
const WRITE: &str = "printf '%s\\n' \"$all\" >";

/// What an age plug-in does, with the file key for a ciphertext.
const PLUGIN: &str = r#"
while IFS= read -r head; do
    body=
    while IFS= read -r line; do
        body=$body$line
        [ ${#line} -eq 64 ] || break
    done
    case $head in
        '-> wrap-file-key'* | '-> recipient-stanza 0 canary'*) key=$body ;;
        '-> done'*) break ;;
    esac
done
case $1 in
    *recipient-v1) printf -- '-> recipient-stanza 0 canary\n%s\n' "$key" ;;
    *) printf -- '-> file-key 0\n%s\n' "$key" ;;
esac
read -r answer
read -r rest
printf -- '-> done\n\n'
"#;

/// Whether they see anything: they look with these, which a bare machine need not have.
pub fn can_watch() -> bool {
    ["sed", "tr", "readlink"].iter().all(|program| super::peer(program))
}

/// The programs, and what they wrote.
pub struct Watched {
    directory: PathBuf,
}

impl Watched {
    /// Installs them in a folder of an environment.
    pub fn new(env: &TestEnv) -> Self {
        let directory = env.path("watched");
        std::fs::create_dir(&directory).unwrap();
        std::fs::create_dir(directory.join("seen")).unwrap();
        let this = Self { directory };
        let seen = this.directory.join("seen").display().to_string();
        // A plug-in's parent is ours; a program that takes our place has no parent of interest.
        this.install(
            "age-plugin-canary",
            &format!("all=$(watch $$ own; watch $PPID parent) 2>/dev/null\n{WRITE}'{seen}'/plugin-$$\n{PLUGIN}"),
        );
        this.install(
            "program",
            &format!("all=$(sed 's/^/own stdin /'; watch $$ own)\n{WRITE}'{seen}'/program-$$\n"),
        );
        this
    }

    /// Tools that deliver: they say where they lead, and then print all that they are handed, as they refuse it.
    pub fn install_tools(&self) {
        let seen = self.directory.join("seen").display().to_string();
        for (name, place) in [
            ("kubectl", "https://k8s.example:6443"),
            ("aws", "123456789012"),
            ("gh", "https://github.com/acme/app\\t42"),
        ] {
            let answer = format!(
                "case $* in *config\\ view* | *get-caller-identity* | api\\ *) printf '{place}\\n'; exit ;; esac\n\
                 while IFS= read -r line || [ -n \"$line\" ]; do printf '%s\\n' \"$line\"; done >&2; exit 1\n"
            );
            self.install(
                name,
                &format!("all=$(watch $$ own) 2>/dev/null\n{WRITE}'{seen}'/tool-$$\n{answer}"),
            );
        }
    }

    fn install(&self, name: &str, text: &str) {
        let path = self.directory.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{WATCH}\n{text}")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A search path with these programs in it.
    pub fn path(&self) -> std::ffi::OsString {
        let others = std::env::var_os("PATH").unwrap_or_default();
        let all = std::iter::once(self.directory.clone()).chain(std::env::split_paths(&others));
        std::env::join_paths(all).unwrap()
    }

    /// What was written since the last look, with the name of who wrote it.
    pub fn seen(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(self.directory.join("seen")).unwrap() {
            let path = entry.unwrap().path();
            all.push((name_of(&path), std::fs::read_to_string(&path).unwrap()));
            std::fs::remove_file(&path).unwrap();
        }
        all
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}
