//! Where recipes are run: a home with a vault, the files that they name, programs that stand in for those that need a cluster
//! or an account, the sandbox, and a way to it under the name of the production API.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::{PROGRAM, Run, Sandbox, TestEnv, peer_ok};

/// What is there before a recipe is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// No vault.
    Fresh,
    /// An empty vault.
    Empty,
    /// An empty vault, and the files that `import` reads.
    Importing,
    /// `payments-api` is active, `ops-admin` enrolled, and every file that the recipes name is there.
    Active,
    /// As active, and the files are there that the recipes of `export` make.
    Exported,
    /// As active, and `deploy` is empty.
    Unexported,
    /// As active, and `billing` was made through the API.
    Billing,
    /// A rotation of `payments-api` waits for the token of a new account, which is in `token.txt`.
    AwaitingToken,
    /// `payments-api` has a new key; the old one works, too.
    Promoted,
}

pub(crate) struct Scene {
    pub(crate) env: TestEnv,
    pub(crate) sandbox: Sandbox,
    production: Child,
    production_port: String,
    /// In the place of the port that a recipe names: tests run side by side.
    port: u16,
    recipient: String,
    /// What a program under `exec` gets.
    pub(crate) variables: Vec<(String, String)>,
}

const PAYMENTS: &str = "payments-api";
const ADMIN: &str = "ops-admin";
pub(crate) const USERNAME: &str = "ops@example.com";
pub(crate) const PASSPHRASE: &str = "a passphrase for nothing but this";

impl Scene {
    pub(crate) fn new(start: Start) -> Self {
        let env = if start == Start::Fresh {
            TestEnv::new()
        } else {
            TestEnv::with_vault()
        };
        let sandbox = Sandbox::start_with(match start {
            Start::AwaitingToken => &["--rotation", "reference"],
            _ => &[],
        });
        sandbox.form(
            "/dashboard/permission",
            &[("name", "Readers"), ("operations", "Wallets:Read")],
        );
        let (production, production_port) = production(&env, &sandbox);
        let port = free_port();
        let mut scene = Self {
            recipient: age::x25519::Identity::generate().to_public().to_string(),
            env,
            sandbox,
            production,
            production_port,
            port,
            variables: Vec::new(),
        };
        scene.stand_ins();
        if !matches!(start, Start::Fresh | Start::Empty) {
            scene.furnish();
        }
        match start {
            Start::Fresh | Start::Empty | Start::Active => {}
            Start::Importing => {
                for name in [PAYMENTS, ADMIN] {
                    scene.env.ok(&["remove", name, "--force", "--yes"]);
                }
            }
            Start::Unexported => std::fs::remove_file(scene.env.path("deploy/payments.env")).unwrap(),
            Start::Exported => {
                for (format, file) in [("dotenv", "payments.env"), ("docker-env", "payments.docker-env")] {
                    scene
                        .env
                        .ok(&["export", PAYMENTS, "--format", format, "--output", file]);
                }
            }
            Start::Billing => drop(scene.env.ok(&["onboard", "billing", "--as", ADMIN])),
            Start::Promoted => drop(scene.env.ok(&["rotate", PAYMENTS])),
            Start::AwaitingToken => {
                let run = scene.env.run(&["rotate", PAYMENTS]);
                run.fails(7, &["BEGIN PUBLIC KEY"]);
                let key = run.stderr.find("-----BEGIN").map(|start| &run.stderr[start..]).unwrap();
                let end = key.find("-----END PUBLIC KEY-----").unwrap() + "-----END PUBLIC KEY-----\n".len();
                scene
                    .env
                    .write("token.txt", scene.sandbox.create("payments-api-2", &key[..end]));
            }
        }
        scene
    }

    /// `payments-api`, `ops-admin`, and each of them in every file that a recipe names.
    fn furnish(&mut self) {
        let env = &self.env;
        env.onboard(&self.sandbox, PAYMENTS);
        let code = self.sandbox.code(USERNAME);
        let enroll = ["enroll", ADMIN, "--code", &code, "--api-url", &self.sandbox.url];
        env.ok(&enroll);
        std::fs::create_dir(env.path("deploy")).unwrap();
        for (format, file) in [
            ("dotenv", "deploy/payments.env"),
            ("docker-env", "container.env"),
            ("pem-private", "prime256v1.pem"),
            ("postman-environment", "staging.postman_environment.json"),
            ("postman-environment", "old.json"),
        ] {
            env.ok(&["export", PAYMENTS, "--format", format, "--output", file]);
        }
        let variables: Value = serde_json::from_str(&env.ok(&["export", PAYMENTS, "--format", "json"])).unwrap();
        let variables = variables.as_object().unwrap().iter();
        self.variables = variables
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect();
        let admin = env.open(ADMIN);
        env.write("key.pem", admin["user"]["private_key"].as_str().unwrap());
        let guide = include_str!("../../docs/guide.md");
        let accounts = guide.split("```csv\n").nth(1).and_then(|rest| rest.split("```").next());
        env.write("accounts.csv", self.as_written(accounts.unwrap()));
        let fleets = include_str!("../../docs/fleet.md");
        let file = fleets.split("```\n").nth(1).unwrap();
        assert!(file.starts_with("#:schema"), "{file}");
        env.write("dfns-keys.toml", file);
    }

    /// The programs and files that recipes run, and what stands in for those that need more than this machine.
    fn stand_ins(&self) {
        let file = |name: &str, text: &str| self.program(name, text);
        // Each of these is a user's own program, which finds a key that it can use.
        let shell = "#!/bin/sh\ncase $DFNS_PRIVATE_KEY in *'BEGIN PRIVATE KEY'*) ;; *) exit 9 ;; esac\n";
        for name in ["app", "bin/app"] {
            file(name, shell);
        }
        self.env.write(
            "app.js",
            "require('crypto').createPrivateKey(process.env.DFNS_PRIVATE_KEY); console.log('started');",
        );
        self.env.write(
            "app.py",
            "import os\nassert 'BEGIN PRIVATE KEY' in os.environ['DFNS_PRIVATE_KEY']\nassert os.environ['DFNS_AUTH_TOKEN']\n",
        );
        self.env
            .write("package.json", r#"{"scripts": {"start": "node app.js"}}"#);
        let curl = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/curl_openssl.sh");
        std::fs::copy(curl, self.env.path("signed-call.sh")).unwrap();
        file("bin/python", "#!/bin/sh\nexec python3 \"$@\"\n");
        // The real ones are in `make interop`; these hold the command line to what those take.
        file(
            "bin/kubectl",
            "#!/bin/sh\n[ \"$*\" = 'apply --server-side -f -' ] && exec jq -e '.kind == \"Secret\" and .apiVersion == \"v1\"' >/dev/null\n",
        );
        file(
            "bin/gh",
            "#!/bin/sh\n[ \"$*\" = 'secret set -f gh.env' ] && grep -q ^DFNS_PRIVATE_KEY= gh.env\n",
        );
        file(
            "bin/newman",
            "#!/bin/sh\n[ \"$1\" = run ] && jq -e .item \"$2\" >/dev/null && [ \"$3\" = -e ] && jq -e .values \"$4\" >/dev/null\n",
        );
        // A container has what its `--env-file` says and nothing of ours; IMAGE is its program.
        file(
            "bin/docker",
            "#!/bin/sh\n[ \"$1 $2\" = 'run --env-file' ] || exit 2\nenv_file=$3\nshift 3\n\
             while IFS= read -r line; do set -- \"$line\" \"$@\"; done < \"$env_file\"\nexec env -i PATH=\"$PATH\" \"$@\"\n",
        );
        file(
            "bin/IMAGE",
            "#!/bin/sh\nDFNS_PRIVATE_KEY=$(printf %s \"$DFNS_PRIVATE_KEY\" | base64 -d) exec app\n",
        );
    }

    fn program(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.env.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A recipe with what stands for something put in its place: the only change that is made to it.
    pub(crate) fn as_written(&self, text: &str) -> String {
        let organisation = self.variables.iter().find(|(name, _)| name == "DFNS_ORG_ID");
        let organisation = organisation.map_or("or-1", |(_, value)| value.as_str());
        let mut text = text
            .replace("age1…", &self.recipient)
            .replace("or-…", organisation)
            // A machine that has no identity, and was told by one that has.
            .replace(
                "RECIPIENTS=DIGEST",
                "RECIPIENTS=$(dfns-keys recipients list --digest) DFNS_KEYS_IDENTITY=",
            )
            .replace("SHA256:…", "$(dfns-keys show payments-api --fingerprint)")
            .replace("chmod 600 FILE", "chmod 600 token.txt")
            .replace("127.0.0.1:8080", &format!("127.0.0.1:{}", self.port))
            .replace("/etc/dfns-keys/", &format!("{}/", self.env.home.path().display()));
        if text.contains("pm-…") {
            let answer = self.sandbox.form(
                "/dashboard/permission",
                &[("name", "Payments"), ("operations", "Wallets:Create")],
            );
            text = text.replace("pm-…", answer["permission_id"].as_str().unwrap());
        }
        text
    }

    /// What a person does between the halves of `onboard`.
    pub(crate) fn bring_the_token(&self) {
        let public = std::fs::read_to_string(self.env.path("public.pem")).unwrap();
        self.env.write("token.txt", self.sandbox.create("brought", &public));
    }

    /// A program in this scene.
    pub(crate) fn command(&self, program: &str) -> Command {
        self.at_home(self.env.bare(program))
    }

    /// The same, on whose terminal questions are asked.
    pub(crate) fn asking(&self, line: &str) -> Command {
        let mut shell = Command::new("bash");
        shell.args(["-c", line]).env("HOME", self.env.home.path());
        shell.current_dir(self.env.home.path());
        self.at_home(shell)
    }

    fn at_home(&self, mut command: Command) -> Command {
        let directory = |path: &Path| path.to_str().unwrap().to_owned();
        let ours = Path::new(PROGRAM).parent().unwrap();
        let path = [
            directory(&self.env.path("bin")),
            directory(ours),
            std::env::var("PATH").unwrap(),
        ];
        command
            .env("PATH", path.join(":"))
            .env("DFNS_KEYS_VAULT", self.env.vault())
            .env("HTTPS_PROXY", format!("http://127.0.0.1:{}", self.production_port))
            .env("SSL_CERT_FILE", self.env.path("production.pem"))
            .env("URL", &self.sandbox.url)
            .envs(self.variables.iter().cloned());
        if self.env.path("identity.txt").exists() {
            command.env("DFNS_KEYS_IDENTITY", self.env.path("identity.txt"));
        }
        command
    }

    /// Runs a line as a shell does.
    pub(crate) fn shell(&self, line: &str) -> Run {
        Run::of(
            self.command("bash")
                .args(["-o", "pipefail", "-c", &self.as_written(line)]),
        )
    }

    /// Starts a line that goes on until it is stopped, and waits until it has said that it is ready.
    pub(crate) fn serve(&self, line: &str) -> Server {
        let line = self.as_written(line);
        let said: PathBuf = self.env.path(if line.contains("> proxy.json") {
            "proxy.json"
        } else {
            "served"
        });
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("exec {line}")]);
        shell.env_clear().current_dir(self.env.home.path()).stdin(Stdio::null());
        Server::start(&mut self.at_home(shell), &said)
    }
}

/// A port that nothing else listens to.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server that a recipe starts.
pub(crate) struct Server(Child);

impl Server {
    /// Starts a program whose first line, in the file `said`, says that it is ready.
    pub(crate) fn start(command: &mut Command, said: &Path) -> Self {
        command.stdout(std::fs::File::create(said).unwrap());
        command.stderr(Stdio::null());
        let mut server = Self(command.spawn().unwrap());
        while !std::fs::read_to_string(said).unwrap().ends_with('\n') {
            let ended = server.0.try_wait().unwrap();
            assert!(ended.is_none(), "{command:?} is to serve, and ended: {ended:?}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.production.kill();
        let _ = self.production.wait();
    }
}

fn production(env: &TestEnv, sandbox: &Sandbox) -> (Child, String) {
    let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let certificate = ["-keyout", "production.key", "-out", "production.pem", "-days", "2"];
    let names = [
        "-subj",
        "/CN=api.dfns.io",
        "-addext",
        "subjectAltName=DNS:api.dfns.io",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ];
    let arguments = [&["req", "-x509"][..], &curve, &certificate, &names].concat();
    peer_ok(env.bare("openssl").args(arguments));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/documents/production.py");
    let mut child = Command::new("python3")
        .arg(script)
        .args(["production.pem", "production.key", sandbox.address()])
        .current_dir(env.home.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut port = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut port)
        .unwrap();
    (child, port.trim().to_owned())
}
