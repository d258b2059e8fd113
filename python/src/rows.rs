//! Rows shared by threads.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use foretell_model::{Columns, Method, Model, Outputs};

use crate::columns::{Given, PIECE};

/// Fewer rows are done before another thread has begun.
const ALONE: usize = 4 * PIECE;

/// The answers, piece after piece in the order of the rows.
pub(crate) fn score(model: &Model, given: &Given, want: Method, threads: usize) -> Vec<Outputs> {
    let pieces = given.pieces(PIECE);
    let score = |piece: (usize, usize, usize)| model.score(&Columns::new(&given.piece(piece), piece.2), want);
    let threads = if given.rows < ALONE { 1 } else { threads.min(pieces.len()) };
    if threads <= 1 {
        return pieces.into_iter().map(score).collect();
    }
    let (next, done) =
        (AtomicUsize::new(0), pieces.iter().map(|_| OnceLock::new()).collect::<Vec<OnceLock<Outputs>>>());
    let work = || {
        while let Some((piece, place)) = {
            let number = next.fetch_add(1, Ordering::Relaxed);
            pieces.get(number).zip(done.get(number))
        } {
            // Each place is one thread's.
            let _ = place.set(score(*piece));
        }
    };
    std::thread::scope(|scope| {
        (1..threads).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    done.into_iter().filter_map(OnceLock::into_inner).collect()
}
