//! The life of a credential whose key never leaves where it is held, wherever that is.

use std::process::Command;

use serde_json::Value;

use super::proxy::Proxy;
use super::{Run, Sandbox, TestEnv};

pub const WALLET: &str = r#"{"name":"Zoë","network":"EthereumSepolia"}"#;

/// A machine, and how its keys are reached.
pub struct Held<'a> {
    pub env: &'a TestEnv,
    pub sandbox: &'a Sandbox,
    pub variables: Vec<(String, String)>,
    pub uri: String,
}

impl Held<'_> {
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.env.command(arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Run {
        Run::of(&mut self.command(arguments))
    }

    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        let run = self.run(arguments);
        assert_eq!(run.code, 0, "{arguments:?}: {run:?}");
        run.stdout
    }

    pub fn proxy(&self) -> Proxy {
        let variables: Vec<(&str, &str)> = self
            .variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        Proxy::start_with(self.env, &["--timeout", "2s"], &variables)
    }

    /// Where the key is that is in use.
    pub fn place(&self) -> String {
        let sealed = self.env.open("a");
        let key = &sealed["active"]["private_key"];
        key["uri"].as_str().unwrap_or_else(|| panic!("{key}")).to_owned()
    }

    /// From nothing to active, by way of the dashboard.
    pub fn onboard(&self) {
        let prepare = [
            "onboard",
            "a",
            "--prepare",
            "--api-url",
            &self.sandbox.url,
            "--key",
            &self.uri,
        ];
        let public = self.ok(&prepare);
        assert_eq!(self.ok(&prepare), public, "the same key again");
        assert_eq!(self.ok(&["public-key", "--key", &self.uri]), public);
        self.env.write("token.txt", self.sandbox.create("a", &public));
        self.ok(&["onboard", "a", "--token-file", "token.txt"]);
        let key = &self.env.open("a")["active"]["private_key"];
        assert_eq!(
            (key["uri"].as_str(), key["public_key"].as_str()),
            (Some(&*self.uri), Some(&*public))
        );
    }

    /// Everything that signs, signs; the sandbox judges.
    pub fn signs(&self) {
        let verified = self.ok(&["verify", "a"]);
        assert!(verified.contains("held elsewhere, as "), "{verified}");
        self.ok(&["call", "a", "POST", "/wallets", "--data", WALLET]);
        let proxy = self.proxy();
        for _ in 0..3 {
            assert_eq!(proxy.call("POST", "/wallets", WALLET).status, 200);
        }
        assert_eq!(proxy.stop().code, 0);
    }

    /// Whatever would hand the private key over refuses, and names the proxy.
    pub fn stays(&self) {
        let file = format!("file:{}", self.env.path("a.env").display());
        for arguments in [
            &["export", "a", "--format", "dotenv"][..],
            &["export", "a", "--format", "pem-private"],
            &["export", "a", "--format", "postman-environment"],
            &["exec", "a", "--", "true"],
            &["deliver", "a", "--to", &file],
        ] {
            self.run(arguments).fails(
                3,
                &["a cannot be handed over: its private key is ", "dfns-keys proxy a"],
            );
        }
        assert!(!self.env.path("a.env").exists());
        self.ok(&["export", "a", "--format", "pem-public"]);
        let sealed: Value = self.env.open("a");
        assert_eq!(sealed.get("deliveries"), None, "no place was sealed: {sealed}");
    }

    /// Rotations: undone, and finished; what nothing signs with any more is told, and still there.
    pub fn rotates(&self) {
        let first = self.place();
        self.ok(&["rotate", "a"]);
        let second = self.place();
        assert_ne!(second, first);
        assert!(second.contains("payments-g2"), "beside the first: {second}");
        self.ok(&["verify", "a"]);
        let undone = self.run(&["rotate", "a", "--rollback"]);
        undone.fails(0, &["may be destroyed now", &second]);
        assert_eq!(self.place(), first);
        self.ok(&["verify", "a"]);

        self.ok(&["rotate", "a"]);
        let third = self.place();
        assert!(third.contains("payments-g2-2"), "no name is used twice: {third}");
        let finished = self.run(&["rotate", "a", "--finish"]);
        finished.fails(0, &["is needed no more", "may be destroyed now", &first]);
        self.signs();
        let at_once = self.run(&["rotate", "a", "--grace", "0", "--yes", "--json"]).json();
        assert_eq!(at_once["credentials"][0]["unneeded_key"], third, "{at_once}");
        assert!(self.place().contains("payments-g3"), "{}", self.place());
        self.signs();
        for place in [&first, &second, &third] {
            self.ok(&["public-key", "--key", place]);
        }
    }
}
