//! The signing proxy as another process.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::{Answer, TestEnv};

/// `dfns-keys proxy a`, which is stopped when this goes.
pub struct Proxy {
    pub child: Child,
    pub url: String,
    pub token: String,
}

impl Proxy {
    pub fn start(env: &TestEnv, arguments: &[&str]) -> Self {
        Self::start_with(env, arguments, &[])
    }

    /// With variables of its own in its environment.
    pub fn start_with(env: &TestEnv, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = env.command(&["proxy", "a"]);
        // Not through `setsid`, which would be in the way of the signals.
        let mut direct = Command::new(super::PROGRAM);
        direct
            .args(["proxy", "a"])
            .args(arguments)
            .env_clear()
            .current_dir(env.home.path());
        for (name, value) in command.stdin(Stdio::null()).get_envs() {
            direct.env(name, value.unwrap());
        }
        let mut child = direct
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|error| {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("{error}: {said}")
        });
        let text = |name: &str| ready[name].as_str().unwrap().to_owned();
        Self {
            child,
            url: text("url"),
            token: text("token"),
        }
    }

    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    pub fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        self.call_with(method, path, &[("authorization", &self.bearer())], body)
    }

    /// A request with exactly these headers beside `Host` and the body's type.
    pub fn call_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut all = vec![("host", self.address()), ("content-type", "application/json")];
        all.extend_from_slice(headers);
        super::http(self.address(), method, path, &all, body.as_bytes())
    }

    /// Stops it and says what it left behind.
    #[cfg(unix)]
    pub fn stop(mut self) -> super::Run {
        super::signal(&self.child, rustix::process::Signal::TERM);
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        super::Run {
            code,
            stdout: String::new(),
            stderr: said,
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
