//! Which clients there are, and which of them keep the server waiting.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// A client that does not take what it is sent is given up after this.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// A client is not given up for another before it had this long: what it sends may be on its way.
const GRACE: Duration = Duration::from_millis(100);

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
            if self.count() < self.most {
                return;
            }
            match self.longest_waited_for() {
                None => changed.await,
                Some((_, since)) if since.elapsed() >= GRACE => return,
                Some((_, since)) => {
                    tokio::select! {
                        () = changed => {}
                        () = sleep_until(since + GRACE) => {}
                    }
                }
            }
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
                listening: false,
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
        if let Some((client, _)) = self.longest_waited_for() {
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

    /// Who it is, and since when. One that is still in its grace counts only where nobody else does.
    fn longest_waited_for(&self) -> Option<(Arc<Client>, Instant)> {
        let all = lock(&self.all);
        let waited_for = all.iter().filter_map(Weak::upgrade).filter_map(|client| {
            let state = lock(&client.state);
            let waits = !state.given_up && (state.listening && !state.busy || state.stuck);
            let (known, since) = (state.known, state.since);
            drop(state);
            waits.then_some(((since.elapsed() < GRACE, known, since), client))
        });
        waited_for
            .min_by_key(|(rank, _)| *rank)
            .map(|((_, _, since), client)| (client, since))
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
    /// Its next bytes were asked for, and are not there.
    listening: bool,
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

    fn sent(&self) {
        let mut state = lock(&self.state);
        state.since = Instant::now();
        state.listening = false;
    }

    fn is_silent(&self) {
        lock(&self.state).listening = true;
        self.waiting.notify_waiters();
    }

    fn took(&self) {
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
        let outcome = Pin::new(&mut this.stream).poll_read(context, buffer);
        if outcome.is_ready() {
            this.client.sent();
        } else {
            this.client.is_silent();
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> Watched<S> {
    /// Notes what became of writing, and gives up on a client that takes nothing for too long.
    fn watch(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if outcome.is_ready() {
            self.client.took();
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
