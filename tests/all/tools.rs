//! The single tools: `inspect`, `plan`, `compare` and `edit` as a user meets them.

use crate::shop::{Shop, sample, stderr, stdout};

fn photo(name: &str) -> String {
    sample().join("images").join(name).to_string_lossy().into_owned()
}

#[test]
fn identical_pictures_are_accepted_and_a_recoloured_one_is_not() {
    let shop = Shop::with_skus(&["mighty-mug"]);
    let (black, red) = (photo("solidus-cap-black-1.png"), photo("solidus-cap-red-1.png"));
    let same = shop.packshot(&["compare", "--reference", &black, "--candidate", &black, "--json"]);
    let same: serde_json::Value = serde_json::from_str(&stdout(&same)).expect("JSON");
    assert_eq!(same["verdict"], "accept", "{same:#}");
    let other = shop.packshot(&[
        "compare",
        "--reference",
        &black,
        "--candidate",
        &red,
        "--json",
        "--heatmap",
        "h.png",
    ]);
    let other: serde_json::Value = serde_json::from_str(&stdout(&other)).expect("JSON");
    assert_ne!(other["verdict"], "accept", "{other:#}");
    assert!(shop.path("h.png").is_file());
}

#[test]
fn pairs_are_answered_in_order_and_a_bad_pair_stops_nobody() {
    let shop = Shop::with_skus(&["mighty-mug"]);
    let cap = photo("solidus-cap-black-1.png");
    let pairs = format!("reference,candidate,role\n{cap},{cap},main\n{cap},nowhere.png,main\n{cap},{cap},\n");
    std::fs::write(shop.path("pairs.csv"), pairs).unwrap();
    let out = shop.packshot(&["compare", "--pairs", "pairs.csv", "--jsonl"]);
    let lines: Vec<serde_json::Value> =
        stdout(&out).lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!(lines.len(), 3, "{}", stderr(&out));
    assert_eq!(lines[0]["verdict"], "accept");
    assert!(lines[1]["error"].as_str().is_some_and(|error| error.contains("nowhere.png")), "{}", lines[1]);
    assert_eq!(lines[2]["verdict"], "accept");
}

#[test]
fn every_edit_operation_explains_its_settings() {
    let shop = Shop::with_skus(&["mighty-mug"]);
    let image = photo("saleor-mighty-mug.png");
    for op in [
        "cutout",
        "background",
        "replace-background",
        "erase",
        "retouch",
        "upscale",
        "restore",
        "outpaint",
        "crop",
        "compose",
        "style",
        "harmonise",
    ] {
        let out = shop.packshot(&["edit", "--op", op, "--set", "help"]);
        assert_eq!(out.status.code(), Some(0), "{op}: {}", stderr(&out));
        let bad =
            shop.packshot(&["edit", &image, "--op", op, "--set", "no_such_setting=1", "--out", "x.png"]);
        assert_eq!(bad.status.code(), Some(1), "{op}: {}", stderr(&bad));
        assert!(stderr(&bad).contains("no_such_setting"), "{op}: {}", stderr(&bad));
    }
    let nowhere = shop.packshot(&["edit", &image, "--op", "crop", "--set", "ratio=1:1"]);
    assert_eq!(nowhere.status.code(), Some(1), "{}", stderr(&nowhere));
    assert!(stderr(&nowhere).contains("--out FILE"), "{}", stderr(&nowhere));
    assert!(!shop.path("x.png").exists());
}

#[test]
fn a_cutout_is_transparent_around_the_product() {
    let shop = Shop::with_skus(&["mighty-mug"]);
    let out = shop.packshot(&["edit", &photo("boutique-mug.jpg"), "--op", "cutout", "--out", "cut.png"]);
    assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
    let cut = image::open(shop.path("cut.png")).unwrap().to_rgba8();
    assert_eq!(cut.get_pixel(3, 3)[3], 0);
    assert_eq!(cut.get_pixel(cut.width() / 2, cut.height() / 2)[3], 255);
}

#[test]
fn inspect_and_plan_say_what_is_known_and_make_nothing() {
    let shop = Shop::with_skus(&["mighty-mug", "cap-red"]);
    let out = shop.packshot(&["inspect", &photo("boutique-mug.jpg"), "--json"]);
    let facts: serde_json::Value = serde_json::from_str(&stdout(&out)).expect("JSON");
    assert!(facts["facts"]["colours"].as_array().is_some_and(|colours| !colours.is_empty()), "{facts:#}");
    let plan = shop.packshot(&["plan", "catalog.csv", "--json"]);
    assert_eq!(plan.status.code(), Some(0), "{}", stderr(&plan));
    let plan: serde_json::Value = serde_json::from_str(&stdout(&plan)).expect("JSON");
    assert_eq!(plan["skus"].as_array().map(Vec::len), Some(2), "{plan:#}");
    assert!(!shop.path("out").exists());
}

#[test]
fn a_catalog_colour_that_contradicts_the_photo_is_shown_before_work() {
    let shop = Shop::new(&["cap,Cap,solidus-cap-black-1.png,,navy,Cotton,Caps,,,,1,"]);
    let out = shop.packshot(&["plan", "catalog.csv"]);
    let said = format!("{}{}", stdout(&out), stderr(&out));
    assert!(said.contains("navy") && said.contains("black"), "{said}");
}
