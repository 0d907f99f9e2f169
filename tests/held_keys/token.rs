//! A token of `SoftHSM`'s.

use std::path::Path;
use std::process::Command;

use crate::support::{Run, TestEnv, peer, peer_ok};

pub(crate) const PIN: &str = "canary-pin-4711-0815-1234";
const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
];

/// A home with a token `dfns` whose PIN is in the file `pin`.
pub(crate) struct Token {
    pub(crate) env: TestEnv,
    pub(crate) module: String,
}

impl Token {
    pub(crate) fn new() -> Option<Self> {
        if !["softhsm2-util", "pkcs11-tool", "openssl"]
            .iter()
            .all(|program| peer(program))
        {
            return None;
        }
        let env = TestEnv::with_vault();
        std::fs::create_dir(env.path("tokens")).unwrap();
        let folder = env.path("tokens");
        let settings = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            folder.display()
        );
        env.write("softhsm.conf", settings);
        env.write("pin", PIN);
        env.write("fault", "");
        let module = MODULES.iter().find(|module| Path::new(module).exists());
        let token = Self {
            env,
            module: (*module.expect("softhsm2 brings its module")).to_owned(),
        };
        token.init("dfns");
        Some(token)
    }

    pub(crate) fn init(&self, label: &str) {
        let mut command = self.bare("softhsm2-util");
        peer_ok(command.args([
            "--init-token",
            "--free",
            "--label",
            label,
            "--so-pin",
            "12345678",
            "--pin",
            PIN,
        ]));
    }

    /// Another module, which is `SoftHSM`'s but for what the file `fault` says.
    pub(crate) fn faulty(&self) -> Option<String> {
        if !peer("cc") {
            return None;
        }
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/held_keys/faulty.c");
        let module = self.env.path("faulty.so").to_str().unwrap().to_owned();
        let mut cc = self.env.bare("cc");
        peer_ok(cc.args(["-shared", "-fPIC", "-o", &module]).arg(source).arg("-ldl"));
        Some(module)
    }

    pub(crate) fn fault(&self, fault: &str) {
        self.env.write("fault", fault);
    }

    fn bare(&self, program: &str) -> Command {
        let mut command = self.env.bare(program);
        command.env("SOFTHSM2_CONF", self.env.path("softhsm.conf"));
        command
    }

    pub(crate) fn uri(&self, object: &str) -> String {
        self.uri_of(&self.module, object)
    }

    pub(crate) fn uri_of(&self, module: &str, object: &str) -> String {
        let pin = self.env.path("pin");
        format!(
            "pkcs11:token=dfns;object={object}?module-path={module}&pin-source=file:{}",
            pin.display()
        )
    }

    /// The program, as it finds the token.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.env.command(arguments);
        command.envs(self.variables());
        command
    }

    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let path = |name: &str| self.env.path(name).to_str().unwrap().to_owned();
        [
            ("SOFTHSM2_CONF", path("softhsm.conf")),
            ("REAL_MODULE", self.module.clone()),
            ("FAULT", path("fault")),
            ("LOGINS", path("logins")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        Run::of(&mut self.command(arguments))
    }

    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let run = self.run(arguments);
        assert_eq!(run.code, 0, "{arguments:?}: {run:?}");
        run.stdout
    }

    /// What `OpenSC`'s tool says, logged in.
    pub(crate) fn tool(&self, arguments: &[&str]) -> String {
        let mut command = self.bare("pkcs11-tool");
        command.args([
            "--module",
            &self.module,
            "--token-label",
            "dfns",
            "--login",
            "--pin",
            PIN,
        ]);
        String::from_utf8(peer_ok(command.args(arguments))).unwrap()
    }
}
