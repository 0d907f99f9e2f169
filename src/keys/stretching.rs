//! How much work a file may ask for before its passphrase is tried (RFC 8018, RFC 7914).

use pkcs8::pkcs5::pbes2::{Kdf, Pbkdf2Params, Pbkdf2Prf, ScryptParams};

/// scrypt's N·r: 256 MiB of memory, which is what age takes.
const MOST_MEMORY: u64 = 1 << 21;
/// scrypt's N·r·p, and so its time: a second or two.
const MOST_TIME: u64 = 1 << 21;
/// scrypt's r·p: how much PBKDF2 is done around it.
const MOST_BLOCKS: u64 = 1 << 10;
/// A second or two of PBKDF2 with SHA-256. OWASP advises 600,000, openssl writes 2,048.
const MOST_ITERATIONS: u32 = 700_000;

/// Whether a derivation is work that we do for a file of another's making, and means something.
pub(super) fn is_agreed_to(derivation: &Kdf) -> bool {
    match derivation {
        Kdf::Scrypt(ScryptParams {
            cost_parameter: cost,
            block_size,
            parallelization,
            ..
        }) => {
            let (block_size, parallelization) = (u64::from(*block_size), u64::from(*parallelization));
            let blocks = block_size * parallelization;
            *cost > 1
                && blocks > 0
                && blocks <= MOST_BLOCKS
                && cost.checked_mul(block_size).is_some_and(|memory| memory <= MOST_MEMORY)
                && cost.checked_mul(blocks).is_some_and(|time| time <= MOST_TIME)
        }
        Kdf::Pbkdf2(Pbkdf2Params {
            iteration_count, prf, ..
        }) => {
            let most = match prf {
                Pbkdf2Prf::HmacWithSha384 | Pbkdf2Prf::HmacWithSha512 => MOST_ITERATIONS / 2,
                _ => MOST_ITERATIONS,
            };
            (1..=most).contains(iteration_count)
        }
        _ => false,
    }
}
