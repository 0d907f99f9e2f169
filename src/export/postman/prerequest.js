// Signs each request that changes state, here and offline: nothing is downloaded and nothing is evaluated.
// https://docs.dfns.co (User Action Signing): a challenge for this very method, path and body is signed, and the answer goes
// along as X-DFNS-USERACTION. A request that cannot be signed is not sent. Reads pass in silence.

// A failed test makes a run fail and is shown beside the request; a thrown error alone would not stop the sending.
function refuse(why) {
  pm.test('Not sent, for it cannot be signed: ' + why, () => pm.expect.fail(why));
  pm.execution.skipRequest();
}

function signRequest() {
  const CryptoJS = require('crypto-js');
  const { request } = pm;
  const variable = (name) => String(pm.variables.get(name) || '').trim();
  const base64url = (bytes) => bytes.toString('base64').replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  const words = (hex) => CryptoJS.enc.Hex.parse(hex);
  const sha256 = (hex) => CryptoJS.SHA256(words(hex)).toString();
  const hmac = (key, hex) => CryptoJS.HmacSHA256(words(hex), words(key)).toString();

  // What every call of ours carries. The deprecated set-up (useAuthV2 false) also wants a nonce.
  const headers = () => {
    const all = { Authorization: 'Bearer ' + variable('authToken') };
    if (variable('applicationId')) all['X-DFNS-APPID'] = variable('applicationId');
    if (variable('useAuthV2') === 'false') {
      const nonce = { uuid: pm.variables.replaceIn('{{$guid}}'), date: new Date().toISOString() };
      all['X-DFNS-NONCE'] = base64url(Buffer.from(JSON.stringify(nonce)));
    }
    return all;
  };
  for (const [key, value] of Object.entries(headers())) {
    if (key !== 'Authorization') request.headers.upsert({ key, value });
  }

  const template = '/' + (request.url.path || []).join('/');
  const unsigned = ['GET', 'HEAD', 'OPTIONS'].includes(request.method) || UNSIGNED.includes(request.method + ' ' + template);
  // A signing proxy (dfns-keys proxy) holds the key itself.
  if (unsigned || variable('signedByProxy') === 'true') return;

  const path = pm.variables.replaceIn(request.url.getPath());
  if (/[:{]/.test(path)) throw new Error('a path variable is not filled in: ' + path);
  // Resolved once, and sent as it was signed: {{$guid}} is another one each time.
  let payload = '';
  if (request.body && !request.body.isEmpty()) {
    if (request.body.mode !== 'raw') throw new Error('only a raw body can be signed');
    payload = pm.variables.replaceIn(request.body.raw);
    request.body.update({ mode: 'raw', raw: payload, options: { raw: { language: 'json' } } });
  }
  const api = pm.variables.replaceIn('{{dfnsApiScheme}}://{{dfnsApiDomain}}');
  const privateKey = readP256(variable('credentialPrivateKey'));
  const post = (endpoint, body, then) => {
    const header = { ...headers(), 'Content-Type': 'application/json' };
    const call = { url: api + endpoint, method: 'POST', header, body: { mode: 'raw', raw: JSON.stringify(body) } };
    pm.sendRequest(call, (error, response) => {
      try {
        if (error) throw new Error('POST ' + endpoint + ' got no answer: ' + error);
        if (response.code !== 200) throw new Error('POST ' + endpoint + ' answered ' + response.code + ': ' + response.text());
        then(response.json());
      } catch (failure) {
        refuse(failure.message);
      }
    });
  };
  const action = {
    userActionPayload: payload,
    userActionHttpMethod: request.method,
    userActionHttpPath: path,
    userActionServerKind: 'Api',
  };
  post('/auth/action/init', action, (challenge) => {
    const ids = ((challenge.allowCredentials || {}).key || []).map((key) => key.id);
    const credId = variable('credentialId') || ids[0];
    if (!ids.includes(credId)) throw new Error('Dfns does not know this key for this token');
    const clientData = Buffer.from(JSON.stringify({
      type: 'key.get',
      challenge: challenge.challenge,
      origin: variable('applicationOrigin') || 'https://app.dfns.io',
      crossOrigin: false,
    }));
    const signature = Buffer.from(signP256(privateKey, clientData.toString('hex'), sha256, hmac), 'hex');
    const credentialAssertion = { credId, clientData: base64url(clientData), signature: base64url(signature) };
    const { challengeIdentifier } = challenge;
    post('/auth/action', { challengeIdentifier, firstFactor: { kind: 'Key', credentialAssertion } }, (signed) => {
      request.headers.upsert({ key: 'X-DFNS-USERACTION', value: signed.userAction });
    });
  });
}

try {
  signRequest();
} catch (error) {
  refuse(error.message);
}
