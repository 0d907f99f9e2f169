//! The work on many names: several at once, with a bar; what fails stops no other, and the gravest of it is the job's.

use futures_util::StreamExt;
use futures_util::stream;

use super::error::Failure;
use super::ui::Ui;
use crate::model::ids::CredentialName;

/// How the work on each name ended, in the order in which they were given.
pub(super) type Outcomes<T> = Vec<(CredentialName, Result<T, Failure>)>;

/// Does the work on each item, which is about the name beside it. Where its work is requests, the client's rate limit stands above
/// `at_once`.
pub(super) async fn each<'i, I, T>(
    ui: &Ui,
    doing: &str,
    at_once: usize,
    items: impl ExactSizeIterator<Item = (&'i CredentialName, &'i I)>,
    work: impl AsyncFn(&'i I) -> Result<T, Failure>,
) -> Outcomes<T>
where
    I: 'i,
{
    let progress = ui.progress(items.len(), doing);
    let (progress_ref, work) = (&progress, &work);
    let outcomes = stream::iter(items)
        .map(|(name, item)| async move {
            let outcome = work(item).await;
            progress_ref.inc(1);
            (name.clone(), outcome)
        })
        .buffered(at_once)
        .collect()
        .await;
    progress.finish_and_clear();
    outcomes
}

/// Which of the failures is the gravest; of equal ones the last.
pub(super) fn gravest<'f>(failures: impl Iterator<Item = &'f Failure>) -> Option<usize> {
    let numbered = failures.enumerate();
    let gravest = numbered.max_by_key(|(_, failure)| failure.exit.gravity());
    gravest.map(|(index, _)| index)
}
