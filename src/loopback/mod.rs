//! What a server on loopback needs against its clients: whoever keeps it waiting is given up, never the others.
//!
//! Used by the proxy and by the sandbox. Nothing here signs, or reads what a request means.

mod bodies;
mod clients;

use std::error::Error;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

pub(crate) use bodies::{Bodies, Unread};
pub(crate) use clients::{Busy, Client};
use clients::{Clients, Watched};

/// More connections than these are not had at once: for a new one the client goes that has been waited for the longest.
const MOST_CONNECTIONS: usize = 256;
/// Within this a client must have sent a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const LARGEST_HEAD: usize = 32 * 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Where connections come from.
pub(crate) trait Accept {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin;

    /// The next one.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>>;
}

/// Answers until `stop` is over, then finishes the requests it has begun. `service` makes what answers one client.
pub(crate) async fn serve<L, M, S, B>(listener: L, stop: impl Future<Output = ()>, service: M)
where
    L: Accept,
    M: Fn(Arc<Client>) -> S,
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let clients = Clients::new(MOST_CONNECTIONS);
    let (stopping, stopped) = watch::channel(false);
    let mut connections = FuturesUnordered::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(()) = connections.next() => {}
            stream = next(&listener, &clients) => {
                let client = clients.admit();
                let service = service(Arc::clone(&client));
                connections.push(connection(stream, client, service, stopped.clone()));
            }
        }
    }
    drop(listener);
    // Nobody listens if there is no connection left.
    let _ = stopping.send(true);
    while connections.next().await.is_some() {}
}

/// The next connection, once there is room for it.
async fn next<L: Accept>(listener: &L, clients: &Clients) -> L::Stream {
    loop {
        clients.room().await;
        match listener.accept().await {
            Ok(stream) => return stream,
            // A connection that ended before it began concerns nobody.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
            // There are no descriptors left: one must go, and asking again at once would only keep the machine busy.
            Err(_) => {
                clients.give_one_up();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection<S, B>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    client: Arc<Client>,
    service: S,
    mut stopped: watch::Receiver<bool>,
) where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_header_size(LARGEST_HEAD)
        .max_buf_size(2 * LARGEST_HEAD)
        .serve_connection(TokioIo::new(Watched::new(stream, Arc::clone(&client))), service);
    tokio::pin!(connection);
    // How a connection ends is the client's business.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = client.given_up() => return,
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
