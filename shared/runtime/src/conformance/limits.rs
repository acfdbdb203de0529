//! What shared limits must do.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

use crate::port::{
    Admission, Bound, Limit, Limits, Occupancy, PLACE_WAIT_MS_MAX, Rate, Renewal, SKEW_MS_MAX,
};

/// When the checks begin, in milliseconds since 1970.
const T: u64 = 1_700_000_000_000;
const FREE: Limit = Limit { rate: None, at_a_time: None };

/// Runs every check, each against an empty instance of its own.
pub async fn suite(mut make: impl FnMut() -> Arc<dyn Limits>) {
    lets_in_at_most_so_many(&*make()).await;
    frees_the_place_of_who_crashed(&*make()).await;
    grants_a_repeat_once(&*make()).await;
    keeps_to_the_rate(&*make()).await;
    takes_a_call_and_a_place_together(&*make()).await;
    waits_at_the_gate(&*make()).await;
    keeps_keys_apart(&*make()).await;
    forgives_a_broken_clock(&*make()).await;
    holds_under_a_crowd(make()).await;
}

fn at_a_time(most: u32) -> Limit {
    Limit { rate: None, at_a_time: NonZeroU32::new(most) }
}

fn rate(calls: u32, per_ms: u64, burst: u32) -> Limit {
    let rate = Rate {
        calls: NonZeroU32::new(calls).unwrap(),
        per_ms: NonZeroU64::new(per_ms).unwrap(),
        burst: NonZeroU32::new(burst).unwrap(),
    };
    Limit { rate: Some(rate), at_a_time: None }
}

fn wait(ms: u64, on: Bound) -> Admission {
    Admission::Wait { ms, on }
}

async fn admit(limits: &dyn Limits, limit: &Limit, holder: &str, now_ms: u64) -> Admission {
    limits.admit("key", limit, holder, now_ms, 10_000).await.unwrap()
}

async fn places(limits: &dyn Limits, now_ms: u64) -> u64 {
    limits.occupancy("key", now_ms).await.unwrap().places
}

async fn lets_in_at_most_so_many(limits: &dyn Limits) {
    assert_eq!(limits.occupancy("key", T).await.unwrap(), Occupancy::default());
    let two = at_a_time(2);
    assert_eq!(admit(limits, &two, "a", T).await, Admission::Granted);
    assert_eq!(admit(limits, &two, "b", T).await, Admission::Granted);
    assert_eq!(admit(limits, &two, "c", T).await, wait(PLACE_WAIT_MS_MAX, Bound::Places));
    assert_eq!(places(limits, T).await, 2);
    limits.leave("key", "a").await.unwrap();
    limits.leave("key", "a").await.unwrap();
    limits.leave("key", "unknown").await.unwrap();
    assert_eq!(admit(limits, &two, "c", T).await, Admission::Granted);
    assert_eq!(admit(limits, &two, "a", T).await, wait(PLACE_WAIT_MS_MAX, Bound::Places));
    assert_eq!(admit(limits, &at_a_time(3), "a", T).await, Admission::Granted);
    assert_eq!(admit(limits, &FREE, "d", T).await, Admission::Granted);
    assert_eq!(places(limits, T).await, 4);
}

async fn frees_the_place_of_who_crashed(limits: &dyn Limits) {
    let one = at_a_time(1);
    assert_eq!(admit(limits, &one, "a", T).await, Admission::Granted);
    assert_eq!(admit(limits, &one, "b", T + 9_990).await, wait(10, Bound::Places));
    assert_eq!(limits.renew("key", "a", T + 5_000, 10_000).await.unwrap(), Renewal::Kept);
    assert_eq!(admit(limits, &one, "b", T + 14_999).await, wait(1, Bound::Places));
    assert_eq!(limits.renew("key", "b", T + 14_999, 10_000).await.unwrap(), Renewal::Lost);
    assert_eq!(admit(limits, &one, "b", T + 15_000).await, Admission::Granted);
    assert_eq!(limits.renew("key", "a", T + 15_000, 10_000).await.unwrap(), Renewal::Lost);
    // Who comes back from the dead takes no place that is not his.
    limits.leave("key", "a").await.unwrap();
    assert_eq!(places(limits, T + 15_000).await, 1);
    assert_eq!(places(limits, T + 25_000).await, 0);
}

async fn grants_a_repeat_once(limits: &dyn Limits) {
    let limit = Limit { at_a_time: NonZeroU32::new(1), ..rate(1, 1_000, 2) };
    for _ in 0..5 {
        assert_eq!(admit(limits, &limit, "a", T).await, Admission::Granted);
    }
    assert_eq!(places(limits, T).await, 1);
    limits.leave("key", "a").await.unwrap();
    assert_eq!(admit(limits, &limit, "b", T).await, Admission::Granted, "the repeats used the rate up");
    limits.leave("key", "b").await.unwrap();
    assert_eq!(admit(limits, &limit, "c", T).await, wait(1_000, Bound::Rate));
    // A repeat is granted also when a new call would not be.
    assert_eq!(admit(limits, &FREE, "d", T).await, Admission::Granted);
    limits.close("key", T + 60_000, T).await.unwrap();
    assert_eq!(admit(limits, &limit, "d", T).await, Admission::Granted);
}

async fn keeps_to_the_rate(limits: &dyn Limits) {
    // Three in a second, two of them at once: 333.334 ms apart.
    let limit = rate(3, 1_000, 2);
    assert_eq!(admit(limits, &limit, "1", T).await, Admission::Granted);
    assert_eq!(admit(limits, &limit, "2", T).await, Admission::Granted);
    assert_eq!(admit(limits, &limit, "3", T).await, wait(334, Bound::Rate));
    assert_eq!(admit(limits, &limit, "3", T + 333).await, wait(1, Bound::Rate));
    assert_eq!(admit(limits, &limit, "3", T + 334).await, Admission::Granted);
    assert_eq!(admit(limits, &limit, "4", T + 334).await, wait(333, Bound::Rate));
    // After a rest the burst is there again, and no more than that.
    assert_eq!(admit(limits, &limit, "4", T + 90_000).await, Admission::Granted);
    assert_eq!(admit(limits, &limit, "5", T + 90_000).await, Admission::Granted);
    assert_eq!(admit(limits, &limit, "6", T + 90_000).await, wait(334, Bound::Rate));
    // Whoever does as told gets exactly the rate.
    let (mut now_ms, mut granted) = (T + 200_000, 0);
    while now_ms < T + 210_000 {
        match admit(limits, &limit, &format!("steady {granted}"), now_ms).await {
            Admission::Granted => granted += 1,
            Admission::Wait { ms, on } => {
                assert!(ms >= 1 && on == Bound::Rate, "{ms} {on:?}");
                now_ms += ms;
            }
        }
    }
    assert!((30..=31).contains(&granted), "{granted} calls in ten seconds at three a second, two at once");
}

async fn takes_a_call_and_a_place_together(limits: &dyn Limits) {
    let limit = Limit { at_a_time: NonZeroU32::new(1), ..rate(1, 5_000, 2) };
    assert_eq!(admit(limits, &limit, "a", T).await, Admission::Granted);
    for _ in 0..5 {
        assert_eq!(admit(limits, &limit, "b", T).await, wait(PLACE_WAIT_MS_MAX, Bound::Places));
    }
    limits.leave("key", "a").await.unwrap();
    assert_eq!(admit(limits, &limit, "b", T).await, Admission::Granted, "waiting used the rate up");
    limits.leave("key", "b").await.unwrap();
    assert_eq!(admit(limits, &limit, "c", T).await, wait(5_000, Bound::Rate));
    assert_eq!(places(limits, T).await, 0, "who waits for the rate holds a place");
}

async fn waits_at_the_gate(limits: &dyn Limits) {
    limits.close("key", T + 3_000, T).await.unwrap();
    assert_eq!(admit(limits, &FREE, "a", T).await, wait(3_000, Bound::Gate));
    limits.close("key", T + 2_000, T + 10).await.unwrap();
    assert_eq!(admit(limits, &FREE, "a", T + 2_999).await, wait(1, Bound::Gate), "opened too early");
    let closed = Occupancy { places: 0, gate_until_ms: T + 3_000 };
    assert_eq!(limits.occupancy("key", T + 2_999).await.unwrap(), closed);
    assert_eq!(limits.occupancy("key", T + 3_000).await.unwrap(), Occupancy::default());
    assert_eq!(admit(limits, &FREE, "a", T + 3_000).await, Admission::Granted);
    limits.close("key", T + 9_000, T + 4_000).await.unwrap();
    assert_eq!(limits.renew("key", "a", T + 5_000, 10_000).await.unwrap(), Renewal::Kept);
}

async fn keeps_keys_apart(limits: &dyn Limits) {
    let limit = Limit { at_a_time: NonZeroU32::new(1), ..rate(1, 60_000, 1) };
    let keys = ["maker", "maker/model", "maker:model", "maker {model}", "MAKER", "mäker"];
    for key in keys {
        let granted = limits.admit(key, &limit, "a", T, 1_000).await.unwrap();
        assert_eq!(granted, Admission::Granted, "{key} is not by itself");
    }
    limits.close(keys[0], T + 5_000, T).await.unwrap();
    assert_eq!(limits.occupancy(keys[1], T).await.unwrap(), Occupancy { places: 1, gate_until_ms: 0 });
}

async fn forgives_a_broken_clock(limits: &dyn Limits) {
    let limit = rate(1, 1_000, 2);
    let ahead = T + SKEW_MS_MAX;
    assert_eq!(admit(limits, &limit, "a", ahead).await, Admission::Granted);
    assert_eq!(admit(limits, &limit, "b", T).await, wait(SKEW_MS_MAX, Bound::Rate), "skew is not broken");
    let far = T + 1_000 * SKEW_MS_MAX;
    assert_eq!(admit(limits, &limit, "c", far).await, Admission::Granted);
    assert_eq!(admit(limits, &limit, "d", T).await, Admission::Granted);
    assert_eq!(admit(limits, &limit, "e", T).await, wait(1_000, Bound::Rate));
    assert_eq!(admit(limits, &limit, "e", T + 1_000).await, Admission::Granted);
}

async fn holds_under_a_crowd(limits: Arc<dyn Limits>) {
    let limit = Limit { at_a_time: NonZeroU32::new(7), ..rate(100, 60_000, 20) };
    let callers = (0..50).map(|caller| {
        let limits = Arc::clone(&limits);
        tokio::spawn(async move {
            let mut granted = 0;
            loop {
                let holder = format!("{caller}/{granted}");
                match admit(&*limits, &limit, &holder, T).await {
                    Admission::Granted => {
                        granted += 1;
                        let places = places(&*limits, T).await;
                        assert!((1..=7).contains(&places), "{places} places of 7 are taken");
                        tokio::task::yield_now().await;
                        limits.leave("key", &holder).await.unwrap();
                    }
                    Admission::Wait { on: Bound::Rate, .. } => break,
                    Admission::Wait { .. } => tokio::task::yield_now().await,
                }
            }
            granted
        })
    });
    let callers: Vec<_> = callers.collect();
    let mut granted = 0;
    for caller in callers {
        granted += caller.await.unwrap();
    }
    assert_eq!(granted, 20, "a burst of 20, and time stands still");
    assert_eq!(places(&*limits, T).await, 0);
}
