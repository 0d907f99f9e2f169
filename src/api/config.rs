//! How the client behaves, and who is told of it.

use std::num::NonZeroU32;
use std::time::Duration;

use super::error::ApiError;

/// Is told when the client waits, so that a person is not left wondering.
pub trait Progress: Send + Sync {
    /// The client waits before it tries again.
    fn waiting(&self, reason: &ApiError, wait: Duration);
    /// A request was answered, with this status, after this long.
    fn answered(&self, method: &str, path: &str, status: u16, elapsed: Duration);
}

/// How the client behaves.
pub struct ClientConfig {
    /// For one request, from the connection to the last byte.
    pub timeout: Duration,
    /// Requests a minute at the most, over everything this client does.
    pub per_minute: NonZeroU32,
    /// Who is told of waits.
    pub progress: Box<dyn Progress>,
}

impl Default for ClientConfig {
    /// What the program does unless it is told otherwise: 30 seconds, 900 requests a minute, and nobody is told.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            per_minute: const { NonZeroU32::new(900).expect("it is not zero") },
            progress: Box::new(Untold),
        }
    }
}

/// Nobody is told.
struct Untold;

impl Progress for Untold {
    fn waiting(&self, _reason: &ApiError, _wait: Duration) {}

    fn answered(&self, _method: &str, _path: &str, _status: u16, _elapsed: Duration) {}
}
