//! Accounts through the API.

use std::process::Command;

use crate::support::{PROGRAM, Sandbox, TestEnv};
use crate::{cost, median, row};

/// One account made by hand, at the same durability: key and token encrypted with age and synced before they are used,
/// and the pair proven.
const ONE_ACCOUNT: &str = r#"
set -euo pipefail
b64() { base64 -w0 | tr '+/' '-_' | tr -d '='; }
api() { curl -sf "$URL$1" -H "authorization: Bearer $2" -H 'content-type: application/json' "${@:3}"; }
sign() { # token, key, method, path, payload -> user action
  local init data signature
  init=$(api /auth/action/init "$1" -d "$(jq -cn --arg p "$5" --arg m "$3" --arg u "$4" '{userActionPayload:$p,userActionHttpMethod:$m,userActionHttpPath:$u}')")
  data=$(jq -c '{challenge:.challenge,crossOrigin:false,origin:"https://app.dfns.io",type:"key.get"}' <<<"$init")
  signature=$(printf %s "$data" | openssl dgst -sha256 -sign "$2" | b64)
  jq -n --argjson i "$init" --arg d "$(printf %s "$data" | b64)" --arg s "$signature" \
    '{challengeIdentifier:$i.challengeIdentifier,firstFactor:{kind:"Key",credentialAssertion:{credId:$i.allowCredentials.key[0].id,clientData:$d,signature:$s}}}' |
    api /auth/action "$1" -d @- | jq -r .userAction
}
name=hand-$1-$RANDOM$RANDOM
openssl ecparam -genkey -name prime256v1 -noout -out $name.pem
public=$(openssl ec -in $name.pem -pubout 2>/dev/null)
age -r "$RECIPIENT" -o $name.key.age $name.pem && sync $name.key.age .
body=$(jq -cn --arg n $name --arg k "$public" '{name:$n,publicKey:$k}')
action=$(sign "$TOKEN" ops.pem POST /auth/service-accounts "$body")
made=$(api /auth/service-accounts "$TOKEN" -H "x-dfns-useraction: $action" -d "$body")
token=$(jq -r '.accessTokens[0].accessToken' <<<"$made")
printf %s "$token" | age -r "$RECIPIENT" -o $name.token.age && sync $name.token.age .
sign "$token" $name.pem PUT /auth/pats/x '{}' >/dev/null
"#;

/// Accounts through the API: a job of one hundred, beside a shell loop's share of one.
pub(crate) fn onboarding() {
    const NAMES: usize = 100;
    const ROUNDS: usize = 15;
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    let form = |path: &str, body: &str| {
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("accept", "application/json"),
        ];
        sandbox.http("POST", path, &headers, body.as_bytes()).json()
    };
    let code = form("/dashboard/code", "username=ops")["code"]
        .as_str()
        .unwrap()
        .to_owned();
    env.ok(&["enroll", "ops", "--code", &code, "--api-url", &sandbox.url]);
    let opened = env.open("ops");
    env.write("ops.pem", opened["user"]["private_key"].as_str().unwrap());
    let recipient = env.ok(&["recipients", "list"]);
    let session = session_token(&env, &sandbox, opened["public"]["org_id"].as_str().unwrap());
    env.write(
        "one.sh",
        format!(
            "URL={}\nTOKEN={session}\nRECIPIENT={}\n{ONE_ACCOUNT}",
            sandbox.url,
            recipient.trim()
        ),
    );
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let rows: Vec<String> = (0..NAMES).map(|number| format!("r{round}n{number}")).collect();
        env.write("accounts.csv", format!("name\n{}\n", rows.join("\n")));
        let command = [
            PROGRAM,
            "onboard",
            "--from",
            "accounts.csv",
            "--as",
            "ops",
            "--rate-limit",
            "4000000",
        ];
        ours.push(cost(&env, &command).wall / u32::try_from(NAMES).unwrap());
        theirs.push(cost(&env, &["bash", "one.sh", &round.to_string()]).wall);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    row(
        "onboard --as, one of 100 names, wall",
        ours,
        theirs,
        "openssl + age + curl",
        "<= 0.05 (20x)",
    );
}

/// Logs in with the vendor's own steps, signed by openssl.
fn session_token(env: &TestEnv, sandbox: &Sandbox, organisation: &str) -> String {
    let script = format!(
        r#"set -euo pipefail
b64() {{ base64 -w0 | tr '+/' '-_' | tr -d '='; }}
init=$(curl -sf {url}/auth/login/init -H 'content-type: application/json' -d '{{"username":"ops","orgId":"{organisation}"}}')
data=$(jq -c '{{challenge:.challenge,crossOrigin:false,origin:"https://app.dfns.io",type:"key.get"}}' <<<"$init")
signature=$(printf %s "$data" | openssl dgst -sha256 -sign ops.pem | b64)
jq -n --argjson i "$init" --arg d "$(printf %s "$data" | b64)" --arg s "$signature" '{{challengeIdentifier:$i.challengeIdentifier,firstFactor:{{kind:"Key",credentialAssertion:{{credId:$i.allowCredentials.key[0].id,clientData:$d,signature:$s}}}}}}' |
  curl -sf {url}/auth/login -H 'content-type: application/json' -d @- | jq -r .token"#,
        url = sandbox.url
    );
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(env.home.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
