//! The client-side rate limit, shared by all parallel work, so that a job over many credentials never takes the whole
//! of an organisation's quota from production.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

pub(super) struct Limiter {
    inner: RateLimiter<NotKeyed, InMemoryState, DefaultClock>,
}

impl Limiter {
    /// Lets through at most `per_minute` requests in any minute.
    pub(super) fn new(per_minute: NonZeroU32) -> Self {
        // A bucket lets a burst through and then refills: both together must stay under the limit in any minute.
        let burst = NonZeroU32::new(per_minute.get() / 10).unwrap_or(NonZeroU32::MIN);
        let steady = per_minute.get().saturating_sub(burst.get()).max(1);
        let period = Duration::from_secs(60) / steady;
        let quota = Quota::with_period(period)
            .unwrap_or(Quota::per_minute(per_minute))
            .allow_burst(burst);
        Self {
            inner: RateLimiter::direct(quota),
        }
    }

    pub(super) async fn wait(&self) {
        let clock = DefaultClock::default();
        while let Err(not_until) = self.inner.check() {
            tokio::time::sleep(not_until.wait_time_from(clock.now())).await;
        }
    }
}
