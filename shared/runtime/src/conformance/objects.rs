//! What every object store must do.

use std::sync::Arc;

use bytes::Bytes;

use crate::port::{Objects, ObjectsFault, Put};

/// Runs every check, each against an instance of its own.
pub async fn suite(mut make: impl FnMut() -> Arc<dyn Objects>) {
    reads_what_was_put(make()).await;
    puts_once(make()).await;
    one_of_many_writers_wins(make()).await;
    lists_in_order_and_in_pages(make()).await;
    reads_within_bounds(make()).await;
    refuses_what_is_no_key(make()).await;
}

async fn reads_what_was_put(store: Arc<dyn Objects>) {
    assert_eq!(store.get("a/b", 10).await.unwrap(), None);
    assert_eq!(store.head("a/b").await.unwrap(), None);
    store.put("a/b", Bytes::from_static(b"one")).await.unwrap();
    assert_eq!(store.get("a/b", 10).await.unwrap().unwrap(), "one");
    store.put("a/b", Bytes::from_static(b"second")).await.unwrap();
    assert_eq!(store.get("a/b", 10).await.unwrap().unwrap(), "second");
    assert_eq!(store.head("a/b").await.unwrap().unwrap().size_bytes, 6);
    assert_eq!(store.get("a", 10).await.unwrap(), None, "a prefix is no object");
    store.put("empty", Bytes::new()).await.unwrap();
    assert_eq!(store.get("empty", 0).await.unwrap().unwrap(), "");
}

async fn puts_once(store: Arc<dyn Objects>) {
    assert_eq!(store.put_if_absent("r/x.json", Bytes::from_static(b"1")).await.unwrap(), Put::Stored);
    assert_eq!(store.put_if_absent("r/x.json", Bytes::from_static(b"2")).await.unwrap(), Put::Exists);
    assert_eq!(store.put_if_absent("r/x.json", Bytes::from_static(b"1")).await.unwrap(), Put::Exists);
    assert_eq!(store.get("r/x.json", 10).await.unwrap().unwrap(), "1");
}

async fn one_of_many_writers_wins(store: Arc<dyn Objects>) {
    for round in 0..8 {
        let key = format!("race/{round}");
        let writers = (0..8u8).map(|writer| {
            let (store, key) = (Arc::clone(&store), key.clone());
            tokio::spawn(
                async move { store.put_if_absent(&key, Bytes::from(vec![writer; 1_000])).await.unwrap() },
            )
        });
        let writers: Vec<_> = writers.collect();
        let mut winners = Vec::new();
        for (writer, ended) in writers.into_iter().enumerate() {
            if ended.await.unwrap() == Put::Stored {
                winners.push(writer as u8);
            }
        }
        assert_eq!(winners.len(), 1, "{winners:?} all believe to have stored {key}");
        assert_eq!(store.get(&key, 1_000).await.unwrap().unwrap(), vec![winners[0]; 1_000]);
    }
}

async fn lists_in_order_and_in_pages(store: Arc<dyn Objects>) {
    // "a-b" sorts before "a/b", and "a0" after it: byte order of whole keys, not of names.
    let mut keys = vec!["l/a-b", "l/a/b", "l/a/c/d", "l/a0", "l/b", "l/b.json", "l/z/z"];
    for key in keys.iter().chain(&["k/x", "la/x", "m"]) {
        store.put(key, Bytes::new()).await.unwrap();
    }
    keys.sort_unstable();
    assert_eq!(store.list("l/", None, 100).await.unwrap(), keys);
    assert_eq!(store.list("l/a/", None, 100).await.unwrap(), ["l/a/b", "l/a/c/d"]);
    assert_eq!(store.list("nothing/", None, 100).await.unwrap(), Vec::<String>::new());
    for limit in 1..=keys.len() {
        let mut all: Vec<String> = Vec::new();
        loop {
            let page = store.list("l/", all.last().map(String::as_str), limit).await.unwrap();
            assert!(page.len() <= limit);
            let last = page.len() < limit;
            all.extend(page);
            if last {
                break;
            }
        }
        assert_eq!(all, keys, "in pages of {limit}");
    }
}

async fn reads_within_bounds(store: Arc<dyn Objects>) {
    store.put("big", Bytes::from(vec![7; 1_001])).await.unwrap();
    assert_eq!(store.get("big", 1_000).await.unwrap_err().kind, ObjectsFault::TooLarge);
    assert_eq!(store.get("big", 1_001).await.unwrap().unwrap().len(), 1_001);
}

async fn refuses_what_is_no_key(store: Arc<dyn Objects>) {
    for key in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", ".hidden", "a\\b", "a\0b"] {
        assert_eq!(store.get(key, 1).await.unwrap_err().kind, ObjectsFault::BadKey, "get {key:?}");
        let put = store.put(key, Bytes::new()).await.unwrap_err();
        assert_eq!(put.kind, ObjectsFault::BadKey, "put {key:?}");
        let put = store.put_if_absent(key, Bytes::new()).await.unwrap_err();
        assert_eq!(put.kind, ObjectsFault::BadKey, "put if absent {key:?}");
    }
    assert!(store.list("../", None, 10).await.is_err());
}
