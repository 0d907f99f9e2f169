//! Doing again what is safe to do again, with pauses, for as long as its failures are passing ones.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use super::client::Client;
use super::error::ApiError;

const ATTEMPTS: usize = 4;
/// Asked to wait longer than this, we say so and stop instead.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// An error that may pass, if the call behind it may do better later.
pub(super) trait Retryable {
    /// The call that failed, if one did.
    fn call(&self) -> Option<&ApiError>;
}

impl Retryable for ApiError {
    fn call(&self) -> Option<&ApiError> {
        Some(self)
    }
}

impl Client {
    /// Repeats something that is safe to repeat for as long as its failures are passing ones.
    pub(super) async fn retrying<T, E: Retryable>(
        &self,
        mut attempt: impl AsyncFnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut number = 1;
        loop {
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let Some(cause) = error.call().filter(|cause| cause.is_transient()) else {
                return Err(error);
            };
            if number == ATTEMPTS || !self.pause(cause, number).await {
                return Err(error);
            }
            number += 1;
        }
    }

    /// Waits before something is begun anew, unless the wait asked for is too long.
    pub(super) async fn pause(&self, cause: &ApiError, attempt: usize) -> bool {
        let pause = backoff().nth(attempt - 1).unwrap_or(LONGEST_WAIT);
        let wait = asked_wait(cause).map_or(pause, |asked| asked.max(pause));
        if wait > LONGEST_WAIT {
            return false;
        }
        self.progress().waiting(cause, wait);
        tokio::time::sleep(wait).await;
        true
    }
}

/// Jittered pauses, each longer than the one before.
fn backoff() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(250))
        .with_max_delay(Duration::from_secs(8))
        .with_max_times(ATTEMPTS - 1)
        .with_jitter()
        .build()
}

fn asked_wait(cause: &ApiError) -> Option<Duration> {
    match cause {
        ApiError::RateLimited { retry_after } => *retry_after,
        _ => None,
    }
}
