//! `packshot run` as a user meets it: the tree it makes, that it resumes, that it remakes
//! only what changed, and how it answers broken input.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::shop::{Shop, files, stderr};

/// When each committed result was written.
fn results(shop: &Shop) -> BTreeMap<String, SystemTime> {
    let folder = shop.path("out/store/results");
    files(&folder)
        .into_iter()
        .map(|name| {
            let written = std::fs::metadata(folder.join(&name)).unwrap().modified().unwrap();
            (name, written)
        })
        .collect()
}

#[test]
fn a_catalog_becomes_sets_and_a_second_run_makes_nothing() {
    let shop = Shop::with_skus(&["juice-apple", "dash-force"]);
    shop.run(&["--channels", "amazon,google", "--roles", "main,detail,lifestyle"], 0);

    let out = files(&shop.path("out"));
    for wanted in [
        "report.html",
        "results.csv",
        "summary.json",
        "sets/juice-apple/set.json",
        "sets/dash-force/set.json",
    ] {
        assert!(out.iter().any(|name| name == wanted), "{wanted} is missing in {out:#?}");
    }
    for channel in ["amazon", "google"] {
        let folder = format!("sets/juice-apple/{channel}/");
        assert!(out.iter().filter(|name| name.starts_with(&folder)).count() >= 3, "{channel}: {out:#?}");
    }
    let summary = shop.summary();
    assert_eq!(summary["skus"], 2);
    assert_eq!(summary["jobs"], 6);
    assert_eq!(summary["cached"], 0);

    let table = std::fs::read_to_string(shop.path("out/results.csv")).unwrap();
    let header = table.lines().next().unwrap();
    for column in [
        "sku",
        "title",
        "status",
        "main",
        "verdict",
        "findings",
        "cost_usd",
        "attempts",
        "digital_source_type",
    ] {
        assert!(header.split(',').any(|name| name == column), "{column} is missing in {header}");
    }

    let before = results(&shop);
    let again = shop.run(&["--channels", "amazon,google", "--roles", "main,detail,lifestyle"], 0);
    assert_eq!(results(&shop), before, "an unchanged run must not touch a committed result");
    assert_eq!(shop.summary()["cached"], 6);
    assert!(stderr(&again).contains("nothing to make"), "{}", stderr(&again));
}

#[test]
fn a_changed_row_remakes_that_sku_only() {
    let shop = Shop::with_skus(&["mighty-mug", "cap-red"]);
    let roles = ["--channels", "amazon", "--roles", "main"];
    shop.run(&roles, 0);
    let before = results(&shop);
    let text = std::fs::read_to_string(shop.path("catalog.csv")).unwrap();
    std::fs::write(shop.path("catalog.csv"), text.replace("navy,Ceramic", "navy,Porcelain")).unwrap();
    shop.run(&roles, 0);
    let after = results(&shop);
    let new = after.iter().filter(|(name, _)| !before.contains_key(*name)).count();
    assert_eq!(new, 1, "one new result for the changed SKU");
    assert!(before.iter().all(|(name, written)| after.get(name) == Some(written)));
    assert_eq!(shop.summary()["cached"], 1);
}

#[test]
fn a_killed_run_resumes_without_remaking_what_was_committed() {
    let shop = Shop::with_skus(&["mighty-mug", "cap-red", "juice-apple"]);
    let arguments = [
        "run",
        "catalog.csv",
        "--out",
        "out",
        "--channels",
        "amazon",
        "--roles",
        "main,detail",
        "--jobs",
        "1",
    ];
    let mut child = std::process::Command::new(crate::shop::packshot())
        .args(arguments)
        .current_dir(shop.path("."))
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let deadline = SystemTime::now() + Duration::from_mins(2);
    while results(&shop).is_empty() && SystemTime::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let committed = results(&shop);
    assert!(!committed.is_empty() && committed.len() < 6, "killed in the middle: {}", committed.len());

    shop.run(&["--channels", "amazon", "--roles", "main,detail", "--jobs", "1"], 0);
    let after = results(&shop);
    assert!(committed.iter().all(|(name, written)| after.get(name) == Some(written)));
    let summary = shop.summary();
    assert_eq!(summary["jobs"], 6);
    assert_eq!(summary["failed"], 0);
    assert!(summary["cached"].as_u64().unwrap() >= committed.len() as u64, "{summary:#}");
}

#[test]
fn an_interrupted_run_says_so_and_resumes() {
    let shop = Shop::with_skus(&["mighty-mug", "cap-red", "juice-apple"]);
    let child = std::process::Command::new(crate::shop::packshot())
        .args([
            "run",
            "catalog.csv",
            "--out",
            "out",
            "--channels",
            "amazon",
            "--roles",
            "main",
            "--jobs",
            "1",
        ])
        .current_dir(shop.path("."))
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = SystemTime::now() + Duration::from_mins(2);
    while results(&shop).is_empty() && SystemTime::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(3), "{}", stderr(&out));
    assert!(stderr(&out).contains("same command"), "{}", stderr(&out));
    shop.run(&["--channels", "amazon", "--roles", "main", "--jobs", "1"], 0);
}

#[test]
fn broken_rows_and_files_are_named_and_stop_nobody_else() {
    let shop = Shop::new(&[
        "good,Good mug,saleor-mighty-mug.png,,navy,Ceramic,Mugs,122,96,88,1,fine",
        "missing,Missing,no-such-file.jpg,,,,,,,,1,",
        "empty,Empty,empty.jpg,,,,,,,,1,",
        "text,Text,text.jpg,,,,,,,,1,",
        "cut,Cut,cut.png,,,,,,,,1,",
        "bomb,Bomb,bomb.png,,,,,,,,1,",
        "../../up,Climber,../../../etc/hostname,,,,,,,,1,",
        ",No SKU,saleor-mighty-mug.png,,,,,,,,1,",
        "CON,Device,solidus-cap-red-1.png,,red,Cotton,Caps,,,,1,",
        "good,Again,saleor-mighty-mug.png,,,,,,,,1,",
    ]);
    let images = shop.path("images");
    std::fs::write(images.join("empty.jpg"), b"").unwrap();
    std::fs::write(images.join("text.jpg"), b"this is not a picture").unwrap();
    let whole = std::fs::read(images.join("saleor-mighty-mug.png")).unwrap();
    std::fs::write(images.join("cut.png"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(images.join("bomb.png"), png_header(60_000, 60_000)).unwrap();

    let out = shop.run(&["--channels", "amazon", "--roles", "main"], 2);
    let said = stderr(&out);
    for word in
        ["no-such-file.jpg", "empty.jpg", "text.jpg", "cut.png", "bomb.png", "line 8", "line 9", "line 11"]
    {
        assert!(said.contains(word), "{word} is not named in\n{said}");
    }
    let sets = files(&shop.path("out/sets"));
    assert!(sets.iter().any(|name| name.starts_with("good/amazon/")), "{sets:#?}");
    assert!(sets.iter().all(|name| !name.to_lowercase().starts_with("con/")), "{sets:#?}");
    assert!(sets.iter().any(|name| name.to_lowercase().starts_with("sku-con-")), "{sets:#?}");
}

/// A PNG that claims this size and holds nothing.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.extend([8, 2, 0, 0, 0]);
    let checksum = crc32(&bytes[12..]);
    bytes.extend(checksum.to_be_bytes());
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}

#[test]
fn usage_and_environment_errors_have_their_codes_and_hints() {
    let shop = Shop::with_skus(&["mighty-mug"]);
    let code = |arguments: &[&str]| {
        let out = shop.packshot(arguments);
        (out.status.code(), stderr(&out))
    };
    let (missing, said) = code(&["run", "nowhere.csv", "--out", "out"]);
    assert_eq!(missing, Some(1), "{said}");
    assert!(said.contains("nowhere.csv"), "{said}");
    let (unknown, said) = code(&["run", "catalog.csv", "--out", "out", "--channels", "amazing"]);
    assert_eq!(unknown, Some(1), "{said}");
    assert!(said.contains("amazing") && said.contains("amazon"), "{said}");
    let (usage, _) = code(&["run"]);
    assert_eq!(usage, Some(1));
    std::fs::write(shop.path("file"), "").unwrap();
    let (blocked, said) = code(&["run", "catalog.csv", "--out", "file/out"]);
    assert_eq!(blocked, Some(4), "{said}");
}
