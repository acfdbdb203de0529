//! What every ledger must do.

use std::sync::Arc;

use packshot_pipeline::budget::MicroUsd;
use packshot_pipeline::ids::BatchId;

use crate::port::{Books, Ledger, Reservation, Reserved};

const CAP: Option<MicroUsd> = Some(MicroUsd(100));

/// Runs every check, each against an empty instance of its own.
pub async fn suite(mut make: impl FnMut() -> Arc<dyn Ledger>) {
    reserves_and_settles(&*make()).await;
    counts_a_name_once(&*make()).await;
    keeps_to_the_cap(&*make()).await;
    counts_what_was_not_reserved(&*make()).await;
    keeps_batches_apart(&*make()).await;
    lists_what_is_left_over(&*make()).await;
    is_rebuilt(&*make()).await;
    holds_under_a_crowd(make()).await;
}

fn batch() -> BatchId {
    BatchId::new("books").unwrap()
}

fn books(spent: u64, reserved: u64) -> Books {
    Books { spent: MicroUsd(spent), reserved: MicroUsd(reserved) }
}

async fn reserve(ledger: &dyn Ledger, name: &str, amount: u64) -> Reserved {
    ledger.reserve(&batch(), CAP, name, MicroUsd(amount), 5).await.unwrap()
}

async fn settle(ledger: &dyn Ledger, name: &str, actual: u64) {
    ledger.settle(&batch(), name, MicroUsd(actual)).await.unwrap();
}

async fn release(ledger: &dyn Ledger, name: &str) {
    ledger.release(&batch(), name).await.unwrap();
}

async fn present(ledger: &dyn Ledger) -> Books {
    ledger.books(&batch()).await.unwrap()
}

async fn reserves_and_settles(ledger: &dyn Ledger) {
    assert_eq!(present(ledger).await, Books::default());
    assert_eq!(reserve(ledger, "a", 40).await, Reserved::Yes);
    assert_eq!(reserve(ledger, "b", 30).await, Reserved::Yes);
    assert_eq!(present(ledger).await, books(0, 70));
    settle(ledger, "a", 25).await;
    assert_eq!(present(ledger).await, books(25, 30));
    release(ledger, "b").await;
    assert_eq!(present(ledger).await, books(25, 0));
    assert_eq!(reserve(ledger, "b", 75).await, Reserved::Yes, "what was released can be reserved again");
    for name in ["free", "gratis"] {
        assert_eq!(reserve(ledger, name, 0).await, Reserved::Yes);
    }
    assert_eq!(present(ledger).await, books(25, 75));
    settle(ledger, "free", 0).await;
    release(ledger, "gratis").await;
    assert_eq!(present(ledger).await, books(25, 75));
    assert_eq!(ledger.reservations(&batch(), 99, 9).await.unwrap().len(), 1);
}

async fn counts_a_name_once(ledger: &dyn Ledger) {
    for _ in 0..3 {
        assert_eq!(reserve(ledger, "a", 60).await, Reserved::Yes);
    }
    assert_eq!(present(ledger).await, books(0, 60));
    for _ in 0..3 {
        settle(ledger, "a", 50).await;
    }
    assert_eq!(present(ledger).await, books(50, 0));
    assert_eq!(reserve(ledger, "a", 10).await, Reserved::Settled { actual: MicroUsd(50) });
    release(ledger, "a").await;
    release(ledger, "unknown").await;
    assert_eq!(present(ledger).await, books(50, 0), "what is settled cannot be released");
}

async fn keeps_to_the_cap(ledger: &dyn Ledger) {
    assert_eq!(reserve(ledger, "a", 101).await, Reserved::OverCap { free: MicroUsd(100) });
    assert_eq!(present(ledger).await, Books::default(), "a refused reservation counts");
    assert_eq!(reserve(ledger, "a", 60).await, Reserved::Yes);
    assert_eq!(reserve(ledger, "b", 41).await, Reserved::OverCap { free: MicroUsd(40) });
    settle(ledger, "a", 70).await;
    assert_eq!(reserve(ledger, "b", 31).await, Reserved::OverCap { free: MicroUsd(30) });
    assert_eq!(reserve(ledger, "b", 30).await, Reserved::Yes);
    assert_eq!(reserve(ledger, "c", 1).await, Reserved::OverCap { free: MicroUsd(0) });
    assert_eq!(reserve(ledger, "d", 0).await, Reserved::Yes, "nothing always fits");
    settle(ledger, "b", 500).await;
    assert_eq!(reserve(ledger, "c", 1).await, Reserved::OverCap { free: MicroUsd(0) });
    let uncapped = ledger.reserve(&batch(), None, "c", MicroUsd(1_000), 5).await.unwrap();
    assert_eq!(uncapped, Reserved::Yes);
}

async fn counts_what_was_not_reserved(ledger: &dyn Ledger) {
    settle(ledger, "lost", 120).await;
    settle(ledger, "lost", 120).await;
    assert_eq!(present(ledger).await, books(120, 0));
    assert_eq!(reserve(ledger, "a", 1).await, Reserved::OverCap { free: MicroUsd(0) });
}

async fn keeps_batches_apart(ledger: &dyn Ledger) {
    let other = BatchId::new("books-2").unwrap();
    assert_eq!(reserve(ledger, "a", 100).await, Reserved::Yes);
    assert_eq!(ledger.reserve(&other, CAP, "a", MicroUsd(90), 5).await.unwrap(), Reserved::Yes);
    ledger.settle(&other, "a", MicroUsd(80)).await.unwrap();
    assert_eq!(present(ledger).await, books(0, 100));
    ledger.forget_books(&batch()).await.unwrap();
    assert_eq!(present(ledger).await, Books::default());
    assert_eq!(ledger.reservations(&batch(), 99, 9).await.unwrap(), []);
    assert_eq!(ledger.books(&other).await.unwrap(), books(80, 0));
    assert_eq!(reserve(ledger, "a", 100).await, Reserved::Yes);
}

async fn lists_what_is_left_over(ledger: &dyn Ledger) {
    for (name, amount, at_ms) in [("c", 3, 30), ("a", 1, 10), ("b", 2, 20), ("d", 4, 40), ("e", 5, 15)] {
        let reserved = ledger.reserve(&batch(), None, name, MicroUsd(amount), at_ms).await.unwrap();
        assert_eq!(reserved, Reserved::Yes);
    }
    settle(ledger, "e", 5).await;
    let one = |name: &str, amount, at_ms| Reservation { name: name.into(), amount: MicroUsd(amount), at_ms };
    let all = [one("a", 1, 10), one("b", 2, 20), one("c", 3, 30)];
    assert_eq!(ledger.reservations(&batch(), 40, 9).await.unwrap(), all);
    assert_eq!(ledger.reservations(&batch(), 41, 2).await.unwrap(), all[..2]);
    assert_eq!(ledger.reservations(&batch(), 0, 9).await.unwrap(), []);
    release(ledger, "a").await;
    assert_eq!(ledger.reservations(&batch(), 30, 9).await.unwrap(), all[1..2]);
}

async fn is_rebuilt(ledger: &dyn Ledger) {
    ledger.set_spent(&batch(), MicroUsd(90)).await.unwrap();
    assert_eq!(reserve(ledger, "a", 11).await, Reserved::OverCap { free: MicroUsd(10) });
    assert_eq!(reserve(ledger, "a", 10).await, Reserved::Yes);
    ledger.set_spent(&batch(), MicroUsd(50)).await.unwrap();
    assert_eq!(present(ledger).await, books(50, 10));
    settle(ledger, "a", 10).await;
    ledger.set_spent(&batch(), MicroUsd(70)).await.unwrap();
    settle(ledger, "a", 10).await;
    assert_eq!(present(ledger).await, books(70, 0), "a name that was settled before counts again");
}

async fn holds_under_a_crowd(ledger: Arc<dyn Ledger>) {
    let callers = (0..50u64).map(|caller| {
        let ledger = Arc::clone(&ledger);
        tokio::spawn(async move {
            let mut paid = 0;
            for effect in 0..6 {
                let name = format!("{caller}/{effect}");
                if reserve(&*ledger, &name, 7).await == Reserved::Yes {
                    let books = present(&*ledger).await;
                    assert!(books.spent.0 + books.reserved.0 <= 100, "{books:?} of at most 100");
                    tokio::task::yield_now().await;
                    if (caller + effect) % 3 == 0 {
                        release(&*ledger, &name).await;
                    } else {
                        settle(&*ledger, &name, 5).await;
                        paid += 5;
                    }
                }
            }
            paid
        })
    });
    let callers: Vec<_> = callers.collect();
    let mut paid = 0;
    for caller in callers {
        paid += caller.await.unwrap();
    }
    assert_eq!(present(&*ledger).await, books(paid, 0));
    assert!((5..=100).contains(&paid), "{paid} of 100 were spent");
    assert_eq!(reserve(&*ledger, "the rest", 100 - paid).await, Reserved::Yes);
    assert_eq!(reserve(&*ledger, "more", 1).await, Reserved::OverCap { free: MicroUsd(0) });
}
