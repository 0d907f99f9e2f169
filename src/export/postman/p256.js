// ECDSA on P-256 with SHA-256 (FIPS 186-5), nonces as RFC 6979 makes them: Postman's sandbox has no WebCrypto, and no random
// numbers are needed. Bytes are written as hex; sha256(hex) and hmac(hexKey, hex) are given by the caller.
const P256 = {
  p: 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffffn,
  n: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  x: 0x6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296n,
  y: 0x4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5n,
};
const mod = (a, m) => ((a % m) + m) % m;
const hex32 = (number) => number.toString(16).padStart(64, '0');

// 1/a modulo m, by Euclid.
function inverse(a, m) {
  let [r0, r1, t0, t1] = [m, mod(a, m), 0n, 1n];
  while (r1 > 0n) {
    const q = r0 / r1;
    [r0, r1, t0, t1] = [r1, r0 - q * r1, t1, t0 - q * t1];
  }
  return mod(t0, m);
}

// The x coordinate of k times the base point, 0 < k < n: from the highest bit down, in Jacobian coordinates
// (x = X/Z^2, y = Y/Z^3). With k < n the sum never meets its own addend, so that no case is special.
function xOfMultiple(k) {
  const { p, x, y } = P256;
  let [X, Y, Z] = [x, y, 1n];
  for (const bit of k.toString(2).slice(1)) {
    const [d, g] = [mod(Z * Z, p), mod(Y * Y, p)];
    const b = mod(X * g, p);
    const a = mod(3n * (X - d) * (X + d), p);
    [X, Z] = [mod(a * a - 8n * b, p), mod(2n * Y * Z, p)];
    Y = mod(a * (4n * b - X) - 8n * g * g, p);
    if (bit === '1') {
      const zz = mod(Z * Z, p);
      const [h, r] = [mod(x * zz - X, p), mod(y * zz * Z - Y, p)];
      const hh = mod(h * h, p);
      const [hhh, v] = [mod(h * hh, p), mod(X * hh, p)];
      [X, Z] = [mod(r * r - hhh - 2n * v, p), mod(Z * h, p)];
      Y = mod(r * (v - X) - Y * hhh, p);
    }
  }
  const z = inverse(Z, p);
  return mod(X * z * z, p);
}

// An ASN.1 INTEGER: no needless zeros in front, one where the number would look negative.
function derInteger(number) {
  let digits = number.toString(16);
  if (digits.length % 2) digits = '0' + digits;
  if (parseInt(digits.slice(0, 2), 16) > 127) digits = '00' + digits;
  return '02' + (digits.length / 2).toString(16).padStart(2, '0') + digits;
}

// The signature of a message (hex) with the private number d, as hex of its ASN.1 DER.
function signP256(d, message, sha256, hmac) {
  const { n } = P256;
  const digest = mod(BigInt('0x' + sha256(message)), n);
  const seed = hex32(d) + hex32(digest);
  let [K, V] = ['00'.repeat(32), '01'.repeat(32)];
  for (const step of ['00', '01']) {
    K = hmac(K, V + step + seed);
    V = hmac(K, V);
  }
  for (;;) {
    V = hmac(K, V);
    const k = BigInt('0x' + V);
    if (k > 0n && k < n) {
      const r = mod(xOfMultiple(k), n);
      const s = mod(inverse(k, n) * (digest + r * d), n);
      if (r > 0n && s > 0n) {
        const both = derInteger(r) + derInteger(s);
        return '30' + (both.length / 2).toString(16).padStart(2, '0') + both;
      }
    }
    K = hmac(K, V + '00');
    V = hmac(K, V);
  }
}

// The private number in a PEM (SEC1 or PKCS#8) of a P-256 key. Both hold an ECPrivateKey (RFC 5915): version 1, then the
// number in 32 bytes.
function readP256(pem) {
  const block = /-----BEGIN (EC )?PRIVATE KEY-----([^-]+)-----END/.exec(String(pem).replace(/\\n/g, '\n'));
  if (!block) throw new Error('credentialPrivateKey is not the PEM of a private key');
  const der = Buffer.from(block[2], 'base64').toString('hex');
  const number = /0201010420([0-9a-f]{64})/.exec(der);
  if (!number || !der.includes('06082a8648ce3d030107')) {
    throw new Error('credentialPrivateKey is not on the curve P-256 (prime256v1)');
  }
  const d = BigInt('0x' + number[1]);
  if (d === 0n || d >= P256.n) throw new Error('credentialPrivateKey is out of range');
  return d;
}
