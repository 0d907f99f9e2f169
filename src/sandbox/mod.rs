//! The vendor's auth API on loopback: strict and in memory. For tests, for demonstrations, and for whoever wants to see
//! a pipeline work before it meets production.
//!
//! It shares neither signing nor parsing code with the client: signatures are judged by aws-lc-rs, the library that
//! rustls brings, and requests are read by its own code.

mod accounts;
mod answer;
mod auth;
mod control;
mod dashboard;
mod faults;
mod identity;
mod judge;
mod keys;
mod registration;
mod request;
mod routes;
mod users;
mod world;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use serde_json::json;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};

use crate::loopback::{self, Accept, Bodies, Client};

use answer::{Answer, Close, HttpResponse};
use faults::Fault;
use request::Request;
use world::World;

/// The sandbox cannot run.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// Only loopback addresses are served: whoever reaches the sandbox can make tokens.
    #[error("{0} is not a loopback address")]
    NotLoopback(SocketAddr),
    /// The address cannot be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The operating system gave no randomness.
    #[error("the operating system's random number generator failed")]
    Randomness,
}

/// Whether service accounts and personal access tokens may manage their own keys, on which the vendor's pages differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Doctrine {
    /// They may (the rotation guide of 2026).
    #[default]
    Guide,
    /// They may not (the reference of 2025).
    Reference,
}

/// How a sandbox behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct SandboxConfig {
    /// Every answer is held back this long.
    pub latency: Duration,
    /// Which of the vendor's two readings of who may register a second key is played.
    pub rotation: Doctrine,
    /// Requests a minute, beyond which the answer is 429; none for no limit.
    pub per_minute: Option<u32>,
}

/// A sandbox that has its address and answers once it is served.
pub struct Sandbox {
    listener: TcpListener,
    address: SocketAddr,
    shared: Shared,
}

struct Shared {
    config: SandboxConfig,
    address: SocketAddr,
    world: Mutex<World>,
    bodies: Bodies,
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        // A panic while the world was held is a bug that has been told of; the world itself is plain data.
        self.world.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Sandbox {
    /// Takes the address; port 0 takes any free one.
    ///
    /// # Errors
    /// When the address is not loopback, or taken.
    pub async fn bind(address: SocketAddr, config: SandboxConfig) -> Result<Self, SandboxError> {
        if !address.ip().is_loopback() {
            return Err(SandboxError::NotLoopback(address));
        }
        let fail = |source| SandboxError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        let world = World::new(config.rotation).map_err(|_| SandboxError::Randomness)?;
        Ok(Self {
            listener,
            address,
            shared: Shared {
                config,
                address,
                world: Mutex::new(world),
                bodies: Bodies::new(request::LARGEST_BODY),
            },
        })
    }

    /// Where it answers, such as `http://127.0.0.1:4711`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers until `stop` is over; connections in use are then cut.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let Self { listener, shared, .. } = self;
        let shared = &shared;
        let service = |client| service_fn(move |request| answer(shared, Arc::clone(&client), request));
        tokio::select! {
            () = stop => {}
            () = loopback::serve(Listener(listener), std::future::pending(), service) => {}
        }
    }
}

struct Listener(TcpListener);

impl Accept for Listener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.0.accept().await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

async fn answer(
    shared: &Shared,
    client: Arc<Client>,
    incoming: hyper::Request<Incoming>,
) -> Result<HttpResponse, Close> {
    let request = Request::read(incoming, &shared.bodies).await.ok_or(Close)?;
    let _busy = client.busy();
    // Even a sleep of nothing waits for the timer's next tick, a millisecond.
    if !shared.config.latency.is_zero() {
        tokio::time::sleep(shared.config.latency).await;
    }
    let fault = {
        let mut world = shared.world();
        let due = world.late.due();
        land(&mut world, &due);
        world.faults.take(&request)
    };
    if let Some(fault) = &fault {
        match fault {
            Fault::Slow { wait } => tokio::time::sleep(*wait).await,
            Fault::CloseBefore => {
                shared.world().log(&request, 0);
                return Err(Close);
            }
            Fault::Instead(answer) => {
                shared.world().log(&request, answer.status);
                return Ok(answer.clone().into_response(shared.world().clock_offset()));
            }
            Fault::Late(landing) => {
                let mut world = shared.world();
                world.log(&request, 0);
                world.late.hold(request, *landing);
                return Err(Close);
            }
            Fault::Twice => {
                let first = route(shared, &request);
                shared.world().log(&request, first.status);
            }
            Fault::CloseAfter | Fault::Truncate | Fault::Cut => {}
        }
    }
    let answer = route(shared, &request);
    let mut world = shared.world();
    world.log(&request, answer.status);
    if !request.path.starts_with("/sandbox/") {
        world.late.count();
        let due = world.late.due();
        land(&mut world, &due);
    }
    match fault {
        Some(Fault::CloseAfter) => Err(Close),
        Some(Fault::Truncate) => Ok(answer.truncated().into_response(world.clock_offset())),
        Some(Fault::Cut) => Ok(answer.into_cut_response(world.clock_offset())),
        _ => Ok(answer.into_response(world.clock_offset())),
    }
}

/// Carries requests out whose clients have given up on them; with which status is told to nobody but the log.
fn land(world: &mut World, late: &[Request]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for request in late {
        let status = routes::answer(world, request).status;
        world.log(request, status);
        statuses.push(status);
    }
    statuses
}

fn route(shared: &Shared, request: &Request) -> Answer {
    if !request.host_is(shared.address) {
        return Answer::error(421, "this sandbox answers under its own loopback address only");
    }
    if !request.origin_is_ours(shared.address) {
        return Answer::error(403, "requests from other web pages are refused");
    }
    let mut world = shared.world();
    if (request.method.as_str(), request.path.as_str()) == ("POST", "/sandbox/land") {
        let all = world.late.all();
        return Answer::json(&json!({ "landed": land(&mut world, &all) }));
    }
    if request.path.starts_with("/sandbox/") {
        return control::answer(&mut world, request);
    }
    if request.path == "/favicon.ico" {
        return Answer::new(204, "image/x-icon", Vec::new());
    }
    if request.path == "/" || request.path.starts_with("/dashboard/") {
        return dashboard::answer(&mut world, request);
    }
    if let Some(limit) = shared.config.per_minute
        && let Some(wait) = world.over_limit(limit)
    {
        return Answer::error(429, "Too Many Requests").header("retry-after", wait.to_string());
    }
    routes::answer(&mut world, request)
}
