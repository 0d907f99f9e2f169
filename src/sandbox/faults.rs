//! Faults on request: what is to go wrong with which of the answers to come.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::answer::Answer;
use super::request::Request;

/// What goes wrong with one answer.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// It takes its time.
    Slow { wait: Duration },
    /// The connection is closed before anything happens.
    CloseBefore,
    /// The request takes effect, and its answer is lost.
    CloseAfter,
    /// The request takes effect, and half of its JSON arrives.
    Truncate,
    /// The request takes effect, and the connection breaks in the middle of its answer.
    Cut,
    /// Something in between sends it again, and only the second answer arrives.
    Twice,
    /// Something else answers, and nothing happens.
    Instead(Answer),
    /// The connection is closed, and the request takes effect later.
    Late(Landing),
}

/// When a request takes effect whose client has given up on it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Landing {
    /// After so many more requests were answered.
    AfterRequests(u64),
    /// After this long; seen when the next request comes.
    At(Duration),
    /// When `POST /sandbox/land` says so.
    OnWord,
}

/// A request that nobody waits for any more and that has not taken effect yet.
struct Held {
    request: Request,
    since: Instant,
    landing: Landing,
}

/// The requests that are still on their way.
#[derive(Default)]
pub(super) struct Late(Vec<Held>);

impl Late {
    pub(super) fn hold(&mut self, request: Request, landing: Landing) {
        self.0.push(Held {
            request,
            since: Instant::now(),
            landing,
        });
    }

    /// Those whose time has come.
    pub(super) fn due(&mut self) -> Vec<Request> {
        self.take(|held| match held.landing {
            Landing::AfterRequests(left) => left == 0,
            Landing::At(wait) => held.since.elapsed() >= wait,
            Landing::OnWord => false,
        })
    }

    /// All of them.
    pub(super) fn all(&mut self) -> Vec<Request> {
        self.take(|_| true)
    }

    /// Another request was answered.
    pub(super) fn count(&mut self) {
        for held in &mut self.0 {
            if let Landing::AfterRequests(left) = &mut held.landing {
                *left = left.saturating_sub(1);
            }
        }
    }

    fn take(&mut self, is_due: impl Fn(&Held) -> bool) -> Vec<Request> {
        self.0
            .extract_if(.., |held| is_due(held))
            .map(|held| held.request)
            .collect()
    }
}

struct Planned {
    method: Option<String>,
    path: Option<String>,
    skip: u64,
    times: u64,
    /// Only every so many of the requests that match.
    every: u64,
    seen: u64,
    fault: Fault,
}

#[derive(Default)]
pub(super) struct Faults {
    planned: Vec<Planned>,
}

impl Faults {
    /// The fault that this request meets, if any is due.
    pub(super) fn take(&mut self, request: &Request) -> Option<Fault> {
        if request.path.starts_with("/sandbox/") {
            return None;
        }
        let position = self.planned.iter().position(|planned| planned.concerns(request))?;
        let planned = &mut self.planned[position];
        if planned.skip > 0 {
            planned.skip -= 1;
            return None;
        }
        planned.seen += 1;
        if !planned.seen.is_multiple_of(planned.every) {
            return None;
        }
        planned.times -= 1;
        let fault = planned.fault.clone();
        if planned.times == 0 {
            self.planned.remove(position);
        }
        Some(fault)
    }

    /// Plans the fault that a request asks for; how many are planned then.
    pub(super) fn plan(&mut self, request: &Request) -> Result<usize, Answer> {
        self.planned.push(plan(request)?);
        Ok(self.planned.len())
    }

    /// Forgets all that are planned; how many they were.
    pub(super) fn clear(&mut self) -> usize {
        self.planned.drain(..).count()
    }
}

impl Planned {
    fn concerns(&self, request: &Request) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        is(&self.path, &request.path) && is(&self.method, &request.method)
    }
}

fn plan(request: &Request) -> Result<Planned, Answer> {
    let fields = request.json(
        &["fault"],
        &[
            "method",
            "path",
            "skip",
            "times",
            "every",
            "status",
            "retry_after",
            "wait_ms",
            "after_requests",
        ],
    )?;
    let number = |name: &str| fields.get(name).and_then(Value::as_u64);
    let page = "<html><body>Sign in to the network</body></html>";
    let fault = match fields.get("fault").and_then(Value::as_str) {
        Some("slow") => Fault::Slow {
            wait: Duration::from_millis(number("wait_ms").unwrap_or(1_000)),
        },
        Some("close_before") => Fault::CloseBefore,
        Some("close_after") => Fault::CloseAfter,
        Some("truncate") => Fault::Truncate,
        Some("cut") => Fault::Cut,
        Some("twice") => Fault::Twice,
        Some("late") => Fault::Late(match (number("after_requests"), number("wait_ms")) {
            (Some(requests), _) => Landing::AfterRequests(requests),
            (None, Some(wait)) => Landing::At(Duration::from_millis(wait)),
            (None, None) => Landing::OnWord,
        }),
        Some("html") => Fault::Instead(Answer::html(
            u16::try_from(number("status").unwrap_or(200)).unwrap_or(200),
            page.to_owned(),
        )),
        Some("redirect") => {
            Fault::Instead(Answer::new(302, "text/plain", Vec::new()).header("location", "https://example.com/"))
        }
        Some("status") => {
            let status = u16::try_from(number("status").unwrap_or(500)).unwrap_or(500);
            let answer = Answer::error(status, "a fault was asked for");
            Fault::Instead(match number("retry_after") {
                Some(seconds) => answer.header("retry-after", seconds.to_string()),
                None => answer,
            })
        }
        _ => return Err(Answer::error(400, "unknown fault")),
    };
    let wanted = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(Planned {
        method: wanted("method"),
        path: wanted("path"),
        skip: number("skip").unwrap_or(0),
        times: number("times").unwrap_or(1).max(1),
        every: number("every").unwrap_or(1).max(1),
        seen: 0,
        fault,
    })
}
