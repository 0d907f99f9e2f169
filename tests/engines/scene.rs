//! One machine: a home, a vault that it may share with another, and the tools of its own.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64ct::{Base64, Encoding};
use serde_json::Value;

use crate::support::{Run, Sandbox, TestEnv, peer_ok, skipped};

/// Where `make interop` has put the programs.
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    let directory = std::env::var_os("DFNS_KEYS_TEST_INTEROP");
    if directory.is_none() {
        skipped("`make interop` runs this");
    }
    let path = std::path::absolute(directory?)
        .unwrap()
        .join("python/bin")
        .join(program);
    assert!(path.exists(), "`make interop` installs {}", path.display());
    Some(path)
}

pub(crate) struct Scene {
    pub(crate) env: TestEnv,
    sandbox: Sandbox,
}

impl Scene {
    /// With a credential `a`, and these programs of `make interop` on the PATH; `None` without them.
    pub(crate) fn new(programs: &[&str]) -> Option<Self> {
        installed("python")?;
        let env = TestEnv::with_vault();
        std::fs::create_dir(env.path("bin")).unwrap();
        for program in programs {
            std::os::unix::fs::symlink(installed(program)?, env.path("bin").join(program)).unwrap();
        }
        let sandbox = Sandbox::start_with(&["--rotation", "guide"]);
        env.onboard(&sandbox, "a");
        Some(Self { env, sandbox })
    }

    /// The program, with some variables.
    pub(crate) fn with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Run {
        let mut command = self.env.command(arguments);
        Run::of(command.envs(variables.iter().copied()))
    }

    /// The variables that a place is to have.
    pub(crate) fn exported(&self) -> Value {
        serde_json::from_str(&self.env.ok(&["export", "a", "--format", "json"])).unwrap()
    }

    /// The keys that work at Dfns.
    pub(crate) fn working(&self) -> BTreeSet<String> {
        let accounts = self.sandbox.accounts();
        let active = accounts.iter().filter(|account| account["active"] == true);
        let keys = active.flat_map(|account| account["keys"].as_array().unwrap());
        keys.map(|key| key.as_str().unwrap().to_owned()).collect()
    }

    /// A rotation with its places, to its end: `has` says what the place has.
    pub(crate) fn rotates(&self, variables: &[(&str, &str)], has: &dyn Fn() -> Value) {
        assert_eq!(has(), self.exported());
        let before = has();
        let grace = ["rotate", "a", "--grace", "0", "--yes"];
        self.with(variables, &grace).fails(0, &[]);
        assert_ne!(has()["DFNS_PRIVATE_KEY"], before["DFNS_PRIVATE_KEY"]);
        assert_eq!(has(), self.exported());
        self.with(variables, &["deliver", "a", "--check"]).fails(0, &[]);
        self.env.run(&["verify", "a"]).fails(0, &[]);
    }

    /// Makes an authority, `ca.pem`, and what it certifies for this machine: `tls.pem` with `tls.key`.
    pub(crate) fn certify(&self) {
        let key = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1";
        let authority = "-subj /CN=authority -keyout ca.key -out ca.pem";
        let server = "-subj /CN=localhost -keyout tls.key -out tls.pem -CA ca.pem -CAkey ca.key \
                      -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
        for rest in [authority, server] {
            let words = key.split(' ').chain(rest.split_whitespace());
            peer_ok(self.env.bare("openssl").args(words));
        }
    }

    /// A server of the tests' own, in Python, that prints its port.
    pub(crate) fn serve(&self, source: &str, arguments: &[&str]) -> Option<Server> {
        let mut command = self.env.bare(installed("python")?.to_str().unwrap());
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(source);
        Some(Server::start(command.arg(source).args(arguments)))
    }
}

/// A program that runs until the test is over.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: String,
}

impl Server {
    /// One that prints its port first.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut port)
            .unwrap();
        Self {
            child,
            port: port.trim().to_owned(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn decoded(base64: &Value) -> String {
    String::from_utf8(Base64::decode_vec(base64.as_str().unwrap()).unwrap()).unwrap()
}
