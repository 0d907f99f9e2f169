//! Bodies of requests, read whole, within one budget of memory for all of them.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use thiserror::Error;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// A body up to this size is read at once: as many as there may be connections take 16 MiB.
const SMALL: usize = 64 * 1024;
/// So many larger ones are in memory at a time; others wait, unread.
const MOST_LARGE: usize = 4;
/// A client must have sent a body within this; a larger one from when its turn has come.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// While others may wait for their turn, a client must not pause for longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A larger body waits this long for its turn.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Unread {
    #[error("the body is longer than {} MiB", .most / 1024 / 1024)]
    TooLong { most: usize },
    #[error("the body broke off")]
    BrokenOff,
    #[error("the body did not come in time")]
    TooSlow,
    #[error("too many long bodies are under way; try again")]
    NoRoom,
}

/// The budget.
pub(crate) struct Bodies {
    largest: usize,
    large: Semaphore,
}

/// A body, which counts for as long as this is there.
pub(crate) struct Whole<'b> {
    pub(crate) bytes: Vec<u8>,
    _place: Option<SemaphorePermit<'b>>,
}

impl Bodies {
    /// No body may be larger than `largest` bytes.
    pub(crate) fn new(largest: usize) -> Self {
        Self {
            largest,
            large: Semaphore::new(MOST_LARGE),
        }
    }

    /// Reads a body whole.
    pub(crate) async fn read(&self, mut body: Incoming) -> Result<Whole<'_>, Unread> {
        let too_long = Unread::TooLong { most: self.largest };
        let stated = body.size_hint().exact().and_then(|size| usize::try_from(size).ok());
        if stated.is_some_and(|size| size > self.largest) {
            return Err(too_long);
        }
        let mut place = None;
        let mut bytes = Vec::with_capacity(stated.unwrap_or_default().min(SMALL));
        loop {
            let (room, pause) = match place {
                Some(_) => (self.largest, LONGEST_PAUSE),
                None => (SMALL, BODY_TIMEOUT),
            };
            match timeout(BODY_TIMEOUT, gather(&mut body, &mut bytes, room, pause)).await {
                Err(_) => return Err(Unread::TooSlow),
                Ok(Err(error)) => return Err(error),
                Ok(Ok(true)) => {
                    return Ok(Whole { bytes, _place: place });
                }
                Ok(Ok(false)) if place.is_some() => return Err(too_long),
                Ok(Ok(false)) => {
                    let turn = timeout(QUEUE_TIMEOUT, self.large.acquire()).await;
                    place = turn.ok().and_then(Result::ok);
                    if place.is_none() {
                        return Err(Unread::NoRoom);
                    }
                    bytes.reserve_exact(stated.unwrap_or(self.largest).saturating_sub(bytes.len()));
                }
            }
        }
    }
}

/// Adds what comes to `bytes`; whether it was the whole, or there is more than there is room for.
async fn gather(body: &mut Incoming, bytes: &mut Vec<u8>, room: usize, pause: Duration) -> Result<bool, Unread> {
    while let Some(frame) = timeout(pause, body.frame()).await.map_err(|_| Unread::TooSlow)? {
        let Ok(data) = frame.map_err(|_| Unread::BrokenOff)?.into_data() else {
            continue;
        };
        bytes.extend_from_slice(&data);
        if bytes.len() > room {
            return Ok(false);
        }
    }
    Ok(true)
}
