//! Which clients there are, and which of them keep the server waiting.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep};

/// A client that does not take what it is sent is given up after this.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// The clients of a server.
pub(super) struct Clients {
    most: usize,
    all: Mutex<Vec<Weak<Client>>>,
    waiting: Arc<Notify>,
}

impl Clients {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            all: Mutex::new(Vec::new()),
            waiting: Arc::new(Notify::new()),
        }
    }

    /// Waits until there is room for one more, or somebody who can go for it.
    pub(super) async fn room(&self) {
        loop {
            let changed = self.waiting.notified();
            if self.count() < self.most || self.longest_waited_for().is_some() {
                return;
            }
            changed.await;
        }
    }

    /// Takes one more; where there is no room, somebody else goes.
    pub(super) fn admit(&self) -> Arc<Client> {
        if self.count() >= self.most {
            self.give_one_up();
        }
        let client = Arc::new(Client {
            state: Mutex::new(State {
                since: Instant::now(),
                busy: false,
                stuck: false,
                known: false,
                given_up: false,
            }),
            going: Notify::new(),
            waiting: Arc::clone(&self.waiting),
        });
        lock(&self.all).push(Arc::downgrade(&client));
        client
    }

    /// Gives up the client that has been waited for the longest; one that has shown who it is only where all have.
    pub(super) fn give_one_up(&self) {
        if let Some(client) = self.longest_waited_for() {
            lock(&client.state).given_up = true;
            client.going.notify_one();
        }
    }

    /// How many there are, without those that are on their way out.
    fn count(&self) -> usize {
        let mut all = lock(&self.all);
        all.retain(|client| client.upgrade().is_some_and(|client| !lock(&client.state).given_up));
        all.len()
    }

    fn longest_waited_for(&self) -> Option<Arc<Client>> {
        let all = lock(&self.all);
        let waited_for = all.iter().filter_map(Weak::upgrade).filter_map(|client| {
            let state = lock(&client.state);
            let waits = !state.given_up && (!state.busy || state.stuck);
            let rank = (state.known, state.since);
            drop(state);
            waits.then_some((rank, client))
        });
        waited_for.min_by_key(|(rank, _)| *rank).map(|(_, client)| client)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is held here is plain data, whole at every instant.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection, as far as it matters who waits for whom.
pub(crate) struct Client {
    state: Mutex<State>,
    going: Notify,
    waiting: Arc<Notify>,
}

struct State {
    /// The last time that a byte came or went, or that it was left to the client to go on.
    since: Instant,
    /// The client waits for us.
    busy: bool,
    /// It does not take what it is sent.
    stuck: bool,
    known: bool,
    given_up: bool,
}

impl Client {
    /// The client has shown that it may be here: others go before it.
    pub(crate) fn is_known(&self) {
        lock(&self.state).known = true;
    }

    /// From now on the client waits for us.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        lock(&self.state).busy = true;
        Busy(Arc::clone(self))
    }

    /// Waits until it is given up.
    pub(super) async fn given_up(&self) {
        self.going.notified().await;
    }

    fn moved(&self) {
        let mut state = lock(&self.state);
        state.since = Instant::now();
        state.stuck = false;
    }

    fn is_stuck(&self) {
        lock(&self.state).stuck = true;
        self.waiting.notify_waiters();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.waiting.notify_waiters();
    }
}

/// While this is there, the client waits for us.
pub(crate) struct Busy(Arc<Client>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.busy = false;
        state.since = Instant::now();
        drop(state);
        self.0.waiting.notify_waiters();
    }
}

/// A connection whose bytes are noted as they come and go.
pub(super) struct Watched<S> {
    stream: S,
    client: Arc<Client>,
    patience: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, client: Arc<Client>) -> Self {
        Self {
            stream,
            client,
            patience: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut this.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            this.client.moved();
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> Watched<S> {
    /// Notes what became of writing, and gives up on a client that takes nothing for too long.
    fn watch(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if outcome.is_ready() {
            self.client.moved();
            self.patience = None;
            return outcome;
        }
        self.client.is_stuck();
        let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
        patience
            .as_mut()
            .poll(context)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.watch(context, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(context, parts);
        this.watch(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
