//! The signed test call, whole process.

use crate::support::{PROGRAM, Sandbox, TestEnv};
use crate::{ROUNDS, cost, medians, row};

/// The signed test call as the vendor's pages have one write it: curl, jq and openssl.
const SHELL: &str = r#"
set -euo pipefail
b64() { base64 -w0 | tr '+/' '-_' | tr -d '='; }
init=$(curl -sf "$URL/auth/action/init" -H "authorization: Bearer $TOKEN" -H 'content-type: application/json' \
  -d '{"userActionPayload":"{}","userActionHttpMethod":"PUT","userActionHttpPath":"/auth/pats/x","userActionServerKind":"Api"}')
challenge=$(jq -r .challenge <<<"$init")
data=$(jq -cn --arg c "$challenge" '{challenge:$c,crossOrigin:false,origin:"https://app.dfns.io",type:"key.get"}')
signature=$(printf %s "$data" | openssl dgst -sha256 -sign key.pem | b64)
jq -n --argjson i "$init" --arg d "$(printf %s "$data" | b64)" --arg s "$signature" \
  '{challengeIdentifier:$i.challengeIdentifier,firstFactor:{kind:"Key",credentialAssertion:{credId:$i.allowCredentials.key[0].id,clientData:$d,signature:$s}}}' |
  curl -sf "$URL/auth/action" -H "authorization: Bearer $TOKEN" -H 'content-type: application/json' -d @- | jq -e .userAction
"#;

pub(crate) fn signed_test_call() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "a");
    let public = env.ok(&["generate", "--plaintext", "--private-key", "key.pem"]);
    let token = sandbox.create("by-hand", &public);
    let script = format!("URL={}\nTOKEN={token}\n{SHELL}", sandbox.url);
    env.write("call.sh", script);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(cost(&env, &[PROGRAM, "verify", "a"]));
        theirs.push(cost(&env, &["bash", "call.sh"]));
    }
    let (ours, theirs) = (medians(&ours), medians(&theirs));
    row(
        "verify NAME (signed test call), wall",
        ours.wall,
        theirs.wall,
        "bash + curl + openssl",
        "-",
    );
    row(
        "verify NAME (signed test call), CPU",
        ours.cpu,
        theirs.cpu,
        "bash + curl + openssl",
        "-",
    );
}

/// Steps 1 to 3 of User Action Signing by the vendor's own client and signer.
const TYPESCRIPT: &str = r"
const { BaseAuthApi } = require('@dfns/sdk');
const { AsymmetricKeySigner } = require('@dfns/sdk-keysigner');
const { DFNS_API_URL, DFNS_AUTH_TOKEN, DFNS_CRED_ID, DFNS_PRIVATE_KEY } = process.env;
const options = { baseUrl: DFNS_API_URL, authToken: DFNS_AUTH_TOKEN };
const signer = new AsymmetricKeySigner({ credId: DFNS_CRED_ID, privateKey: DFNS_PRIVATE_KEY });
(async () => {
  const challenge = await BaseAuthApi.createUserActionChallenge({
    userActionHttpMethod: 'PUT', userActionHttpPath: '/auth/pats/x', userActionPayload: '{}', userActionServerKind: 'Api',
  }, options);
  const firstFactor = await signer.sign(challenge);
  const signed = await BaseAuthApi.signUserActionChallenge({ challengeIdentifier: challenge.challengeIdentifier, firstFactor }, options);
  if (!signed.userAction) throw new Error('not signed');
})().catch((error) => { console.error(error); process.exit(1); });
";

pub(crate) fn beside_the_typescript_sdk() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "a");
    env.ok(&["export", "a", "--format", "dotenv", "--output", "a.env"]);
    env.write("call.cjs", TYPESCRIPT);
    let modules = std::path::absolute(std::env::var("DFNS_KEYS_TEST_INTEROP").unwrap()).unwrap();
    let modules = format!("NODE_PATH={}/node_modules", modules.display());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(cost(&env, &[PROGRAM, "verify", "a"]));
        theirs.push(cost(&env, &["env", &modules, "node", "--env-file=a.env", "call.cjs"]));
    }
    let (ours, theirs) = (medians(&ours), medians(&theirs));
    row(
        "verify NAME (signed test call), wall",
        ours.wall,
        theirs.wall,
        "TypeScript SDK",
        "<= 0.03",
    );
    row(
        "verify NAME (signed test call), CPU",
        ours.cpu,
        theirs.cpu,
        "TypeScript SDK",
        "-",
    );
}
