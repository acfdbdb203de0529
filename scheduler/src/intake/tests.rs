//! Catalogs as users have them, and as nobody should.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fmt::Write as _;
use std::path::PathBuf;

use packshot_pipeline::catalog::ReferenceSource;
use proptest::prelude::*;

use super::*;

/// Writes a catalog and its images into a folder and reads it.
fn read_bytes(
    name: &str,
    bytes: &[u8],
    images: &[&str],
) -> Result<(Vec<Entry>, tempfile::TempDir), CatalogError> {
    let dir = tempfile::tempdir().unwrap();
    for image in images {
        let path = dir.path().join(image);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"x").unwrap();
    }
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let entries = Catalog::open(&path, None)?.collect();
    Ok((entries, dir))
}

fn read(name: &str, text: &str, images: &[&str]) -> Vec<Entry> {
    read_bytes(name, text.as_bytes(), images).unwrap().0
}

/// `line sku title [references]` of products, `line column reason` of errors.
fn told(entries: &[Entry]) -> Vec<String> {
    let one = |entry: &Entry| match &entry.product {
        Ok(p) => {
            let references: Vec<String> = p
                .references
                .iter()
                .map(|r| match r {
                    ReferenceSource::File(path) => path.display().to_string(),
                    ReferenceSource::Url(url) => url.clone(),
                })
                .collect();
            format!("{} {} {} {references:?}", p.line, p.sku, p.title)
        }
        Err(e) => format!("! {e}"),
    };
    entries.iter().map(one).collect()
}

#[track_caller]
fn check(name: &str, text: &str, images: &[&str], expected: &[&str]) {
    assert_eq!(told(&read(name, text, images)), expected, "{text}");
}

#[test]
fn every_format_reads_the_same() {
    let expected = ["2 a1 Mug [\"a.jpg\"]", "3 b2 Jar, tall [\"b.png\"]"];
    let images = ["a.jpg", "b.png"];
    let delimited = "sku,title,image\na1,Mug,a.jpg\nb2,\"Jar, tall\",b.png\n";
    check("c.csv", delimited, &images, &expected);
    check("c.csv", &delimited.replace('\n', "\r\n"), &images, &expected);
    check("c.csv", &delimited.replace('\n', "\r"), &images, &expected);
    check("c.csv", delimited.trim_end(), &images, &expected);
    check("c.txt", "sku;title;image\na1;Mug;a.jpg\nb2;Jar, tall;b.png\n", &images, &expected);
    check("c.csv", "SKU\tTitle\tImage\na1\tMug\ta.jpg\nb2\tJar, tall\tb.png\n", &images, &expected);
    check("c.tsv", "sku|name|image\na1|Mug|a.jpg\nb2|Jar, tall|b.png\n", &images, &expected);
    let objects = [
        r#"{"sku":"a1","title":"Mug","image":"a.jpg"}"#,
        r#"{"title":"Jar, tall","images":["b.png"],"sku":"b2"}"#,
    ];
    check("c.jsonl", &objects.join("\n"), &images, &["1 a1 Mug [\"a.jpg\"]", "2 b2 Jar, tall [\"b.png\"]"]);
    check("c.json", &objects.join("\n"), &images, &["1 a1 Mug [\"a.jpg\"]", "2 b2 Jar, tall [\"b.png\"]"]);
    let array = format!("[\n{}\n]", objects.join(",\n"));
    check("c.json", &array, &images, &expected);
    let wrapped = format!("{{\"shop\":{{\"x\":[1]}},\"products\":[\n{}\n]}}", objects.join(",\n"));
    check("c.json", &wrapped, &images, &expected);
}

#[test]
fn every_encoding_reads_the_same() {
    let text = "sku,title,image\na1,Tässchen “blau” – 5 €,a.jpg\n";
    let expected = ["2 a1 Tässchen “blau” – 5 € [\"a.jpg\"]"];
    let (windows, _, _) = encoding_rs::WINDOWS_1252.encode(text);
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let utf16_be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let files: [Vec<u8>; 7] = [
        text.as_bytes().to_vec(),
        [b"\xEF\xBB\xBF", text.as_bytes()].concat(),
        windows.to_vec(),
        [b"\xFF\xFE", &utf16[..]].concat(),
        [b"\xFE\xFF", &utf16_be[..]].concat(),
        utf16,
        utf16_be,
    ];
    for bytes in files {
        assert_eq!(told(&read_bytes("c.csv", &bytes, &["a.jpg"]).unwrap().0), expected);
    }
}

#[test]
fn one_torn_cell_does_not_spoil_a_utf8_catalog() {
    let mut bytes = b"sku,title,image\n".to_vec();
    for n in 0..20 {
        bytes.extend(format!("s{n},Größe ä ö ü,a.jpg\n").bytes());
    }
    bytes.extend(b"torn,Gr\xF6\xDFe,a.jpg\n");
    let entries = read_bytes("c.csv", &bytes, &["a.jpg"]).unwrap().0;
    assert_eq!(entries[3].product.as_ref().unwrap().title, "Größe ä ö ü");
    assert!(
        entries[20].warnings.iter().any(|w| w.line == 22 && w.reason.contains("decoded")),
        "{:?}",
        entries[20]
    );
}

#[test]
fn rows_of_one_sku_add_references() {
    let text = "sku,title,image,view\na,Cap,a1.jpg,1\na,Cap,a2.jpg,2\nb,Hat,b.jpg,1\na,Cap,a3.jpg,3\nb,Hat,b.jpg,1\n";
    check(
        "c.csv",
        text,
        &["a1.jpg", "a2.jpg", "a3.jpg", "b.jpg"],
        &[
            "2 a Cap [\"a1.jpg\", \"a2.jpg\"]",
            "4 b Hat [\"b.jpg\"]",
            "! line 5, column sku: the SKU a of line 5 is already used on line 2",
            "! line 6, column sku: the SKU b of line 6 is already used on line 4",
        ],
    );
    let same = "sku,title,image\nb,Hat,b.jpg\nb,Hat,b.jpg\n";
    let expected =
        ["2 b Hat [\"b.jpg\"]", "! line 3, column sku: the SKU b of line 3 is already used on line 2"];
    check("c.csv", same, &["b.jpg"], &expected);
}

#[test]
fn all_rows_come_back_in_order() {
    let text = "sku,title,image\na,Cap,a1.jpg\na,Cap,a2.jpg\n,none,\nb,\"x\ny\",b.jpg\n\"open,x\nc,C,b.jpg\n";
    let entries = read("c.csv", text, &["a1.jpg", "a2.jpg", "b.jpg"]);
    let lines: Vec<u64> = entries.iter().flat_map(|e| &e.rows).map(|row| row.line).collect();
    assert_eq!(lines, [2, 3, 4, 5, 7, 8]);
    assert_eq!(entries[2].rows[0].cells, ["b", "x\ny", "b.jpg"]);
}

#[test]
fn a_quote_that_never_closes_costs_its_line_only() {
    let text = "sku,title,image\na,\"open,a.jpg\nb,B,a.jpg\nc,\"two\nlines\",a.jpg\nd,D,a.jpg\n";
    let expected = [
        "! line 2, column title: a quote is opened and never closed",
        "3 b B [\"a.jpg\"]",
        "4 c two lines [\"a.jpg\"]",
        "6 d D [\"a.jpg\"]",
    ];
    check("c.csv", text, &["a.jpg"], &expected);
    let inches = "sku,title,image\na,\"5\" display\",a.jpg\nb,5\" wide,a.jpg\nc,\"say \"\"hi\"\"\" ,a.jpg\n";
    let expected = ["2 a 5\" display [\"a.jpg\"]", "3 b 5\" wide [\"a.jpg\"]", "4 c say \"hi\" [\"a.jpg\"]"];
    check("c.csv", inches, &["a.jpg"], &expected);
}

#[test]
fn many_open_quotes_end_soon_and_lose_nothing_else() {
    let mut text = "sku,title,image\n".to_owned();
    for n in 0..3000 {
        writeln!(text, "s{n},\"open {n},a.jpg\ng{n},good,a.jpg").unwrap();
    }
    let entries = read("c.csv", &text, &["a.jpg"]);
    let good = entries.iter().filter(|e| e.product.is_ok()).count();
    assert_eq!((entries.len(), good), (6000, 3000));
}

#[test]
fn hostile_rows_are_errors_with_line_and_column() {
    let long = "x".repeat(300);
    let huge = "y".repeat(10 * 1024 * 1024);
    let text = format!(
        "sku,title,image\n{long},t,a.jpg\n../../etc/passwd,t,a.jpg\nn\0ul,t,a.jpg\n🦀,crab,a.jpg\nhuge,{huge},a.jpg\nCON,t,a.jpg\nAB,t,a.jpg\nab,t,a.jpg\nout,t,../../etc/passwd\nscheme,t,file:///etc/passwd\nmany,t,a.jpg,x,y\nlast,t,a.jpg,,\n"
    );
    let entries = read("c.csv", &text, &["a.jpg"]);
    assert_eq!(
        told(&entries),
        [
            "! line 2, column sku: the SKU has 300 characters, at most 200 are allowed",
            "3 ../../etc/passwd t [\"a.jpg\"]",
            "! line 4, column sku: the SKU contains the control character U+0000",
            "5 🦀 crab [\"a.jpg\"]",
            "! line 6, column title: the cell has 10485760 bytes, at most 1048576 are read",
            "7 CON t [\"a.jpg\"]",
            "8 AB t [\"a.jpg\"]",
            "9 ab t [\"a.jpg\"]",
            "! line 10, column image: no reference photo for out: \"../../etc/passwd\" leads outside the images folder",
            "! line 11, column image: no reference photo for scheme: \"file:///etc/passwd\" is not an http or https address",
            "! line 12: the row has 5 cells, the header has 3",
            "13 last t [\"a.jpg\"]",
        ]
    );
    assert_eq!(entries[7].warnings[0].reason, "the SKU ab differs only in case from the one on line 8");
    assert!(entries[4].rows[0].cells[1].len() <= 4096, "the giant cell is not kept");
}

#[test]
fn numbers_that_a_spreadsheet_mangled_are_told() {
    let text = "sku,title,image,gtin,width,height\n1.23E+12,t,a.jpg,4.00638E+12,12,\"3,5 cm\"\nb,t,a.jpg,36000291452,12,\n";
    let entries = read("c.csv", text, &["a.jpg"]);
    let warnings: Vec<String> = entries.iter().flat_map(|e| &e.warnings).map(ToString::to_string).collect();
    let wanted = [
        "line 2, column sku: the SKU 1.23E+12 looks like a number",
        "line 2, column width: \"12\" is not used: a number without a unit",
        "line 2, column gtin: the trade number \"4.00638E+12\" is not used",
        "line 3, column gtin: leading zeros put back: 036000291452",
    ];
    assert_eq!(warnings.len(), wanted.len(), "{warnings:?}");
    for (warning, start) in warnings.iter().zip(wanted) {
        assert!(warning.starts_with(start), "{warning}");
    }
    let product = entries[0].product.as_ref().unwrap();
    assert_eq!(product.dimensions.height_mm, Some(35.0));
    assert!(product.codes.is_empty());
}

#[test]
fn generic_columns_have_many_names() {
    let text = "Product Code,Name,Farbe,Fabric,Categories,Length (cm),Width in,Weight (kg),Included,EAN,Hersteller,Body HTML,Image 2,Image 1\n\
        x,Mug,rot,Clay,Home > Mugs,10,4,\"0,5\",lid; spoon,4006381333931,Acme,<p>Big &amp; <b>round</b></p>,b.jpg,a.jpg\n";
    let product = read("c.csv", text, &["a.jpg", "b.jpg"])[0].product.clone().unwrap();
    assert_eq!(
        (product.colour.as_str(), product.material.as_str(), product.brand.as_str()),
        ("rot", "Clay", "Acme")
    );
    assert_eq!(product.description, "Big & round");
    assert_eq!(product.dimensions.depth_mm, Some(100.0));
    assert_eq!(product.dimensions.width_mm, Some(101.6));
    assert_eq!(product.dimensions.weight_g, Some(500.0));
    assert_eq!(product.accessories, ["lid", "spoon"]);
    assert_eq!(product.codes["gtin"], "4006381333931");
    let files: Vec<_> = ["a.jpg", "b.jpg"].map(|f| ReferenceSource::File(PathBuf::from(f))).into();
    assert_eq!(product.references, files);
}

#[test]
fn files_are_found_by_name_when_no_column_says() {
    let images = [
        "a1.jpg",
        "a1_02.png",
        "a10-front.jpg",
        "shoes/front.jpg",
        "shoes/back.jpg",
        "deep/er/q.webp",
        "IMG_1.jpg",
    ];
    let text = "sku,title,image\na1,A,\na10,B,\nshoes,C,\nq2,D,Q.WEBP\nnone,E,\n";
    let expected = [
        "2 a1 A [\"a1.jpg\", \"a1_02.png\"]",
        "3 a10 B [\"a10-front.jpg\"]",
        "4 shoes C [\"shoes/back.jpg\", \"shoes/front.jpg\"]",
        "5 q2 D [\"deep/er/q.webp\"]",
        "! line 6, column image: no reference photo for none",
    ];
    check("c.csv", text, &images, &expected);
    let (_, dir) = read_bytes("c.csv", text.as_bytes(), &images).unwrap();
    let mut catalog = Catalog::open(&dir.path().join("c.csv"), None).unwrap();
    assert_eq!(catalog.by_ref().count(), 5);
    assert_eq!(catalog.unmatched_files(), [PathBuf::from("IMG_1.jpg")]);
}

const SHOPIFY: &str = "Handle,Title,Body (HTML),Vendor,Type,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Variant SKU,Variant Grams,Variant Barcode,Image Src,Image Position,Image Alt Text,Variant Image\n\
cap,Cap,<p>Nice</p>,Acme,Hats,Color,Red,Size,S,,120,,https://cdn.example/red.jpg,1,,https://cdn.example/red.jpg\n\
,,,,,,Red,,M,,120,,https://cdn.example/blue.jpg,2,,https://cdn.example/red.jpg\n\
,,,,,,Blue,,S,CAP-BLUE,130,4006381333931,https://cdn.example/detail.jpg,3,,https://cdn.example/blue.jpg\n\
,,,,,,,,,,,,https://cdn.example/back.jpg,4,,\n\
mug,Mug,Plain,Acme,Mugs,Title,Default Title,,,,300,,//cdn.example/mug.jpg,1,,\n\
mug,,,,,,,,,,,,https://cdn.example/mug2.jpg,2,,\n\
tee,Tee,,Acme,Shirts,Title,Default Title,,,TEE,0,,,,,\n";

#[test]
fn shopify_rows_are_not_products() {
    let entries = read("products_export.csv", SHOPIFY, &["tee.jpg"]);
    let cdn = |names: &str| {
        let list: Vec<String> = names.split(' ').map(|n| format!("https://cdn.example/{n}.jpg")).collect();
        format!("{list:?}")
    };
    assert_eq!(
        told(&entries),
        [
            format!("2 cap-Red-S Cap – Red / S {}", cdn("red detail back")),
            format!("3 cap-Red-M Cap – Red / M {}", cdn("red detail back")),
            format!("4 CAP-BLUE Cap – Blue / S {}", cdn("blue detail back")),
            format!("6 mug Mug {}", cdn("mug mug2")),
            "8 TEE Tee [\"tee.jpg\"]".to_owned(),
        ]
    );
    let blue = entries[2].product.as_ref().unwrap();
    assert_eq!(
        (blue.colour.as_str(), blue.description.as_str(), blue.brand.as_str()),
        ("Blue", "Nice", "Acme")
    );
    assert_eq!(blue.dimensions.weight_g, Some(130.0));
    assert_eq!(blue.group.as_deref(), Some("cap"));
    assert_eq!(blue.codes["gtin"], "4006381333931");
    let lines: Vec<u64> = entries.iter().flat_map(|e| &e.rows).map(|row| row.line).collect();
    assert_eq!(lines, [2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(entries[1].rows[0].cells[0], "", "rows come back as they are in the file");
}

#[test]
fn a_products_json_has_variants() {
    let text = r#"{"products":[{"id":1,"title":"Cap","handle":"cap","body_html":"<i>x</i>","vendor":"V",
        "images":[{"src":"https://cdn.example/a.jpg"}],
        "variants":[{"id":2,"title":"Red","option1":"Red","sku":"","grams":120},{"id":3,"title":"Blue","option1":"Blue","sku":"CB","grams":0}]}]}"#;
    check(
        "products.json",
        text,
        &[],
        &["1 cap-Red Cap [\"https://cdn.example/a.jpg\"]", "1 CB Cap [\"https://cdn.example/a.jpg\"]"],
    );
}

#[test]
fn merchant_feeds_are_known() {
    let text = "id\ttitle\tdescription\tlink\timage link\tadditional image link\tcolor\tmaterial\titem group id\tgtin\tproduct_height\n\
        7\tLamp\tBright\thttps://s.example\thttps://s.example/1.jpg\thttps://s.example/2.jpg,https://s.example/3.jpg\tBrass\tMetal\tg1\t4006381333931\t30 cm\n";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("feed.txt");
    std::fs::write(&path, text).unwrap();
    let mut catalog = Catalog::open(&path, None).unwrap();
    assert_eq!(catalog.describe(), "TSV, UTF-8, Google Merchant feed");
    let product = catalog.next().unwrap().product.unwrap();
    assert_eq!(product.references.len(), 3);
    assert_eq!((product.colour.as_str(), product.group.as_deref()), ("Brass", Some("g1")));
    assert_eq!(product.dimensions.height_mm, Some(300.0));
}

#[test]
fn json_rows_fail_alone() {
    let lines = "{\"sku\":\"a\",\"image\":\"a.jpg\"}\n{\"sku\":\"b\", broken}\n[1]\n{\"sku\":7,\"image\":\"a.jpg\"}\n";
    let told_lines = told(&read("c.jsonl", lines, &["a.jpg"]));
    assert_eq!(told_lines[0], "1 a  [\"a.jpg\"]");
    assert!(told_lines[1].starts_with("! line 2: not valid JSON"), "{told_lines:?}");
    assert_eq!(told_lines[2], "! line 3: not a JSON object");
    assert_eq!(told_lines[3], "4 7  [\"a.jpg\"]");
    let array = "[{\"sku\":\"a\",\"image\":\"a.jpg\"},\n{\"sku\" \"b\"},\n{\"sku\":\"c\",\"image\":\"a.jpg\"},\n{\"sku\":\"d\"";
    let told_array = told(&read("c.json", array, &["a.jpg"]));
    assert_eq!(told_array.len(), 4);
    assert!(told_array[1].starts_with("! line 2: not valid JSON"));
    assert_eq!(told_array[2], "3 c  [\"a.jpg\"]");
    assert_eq!(told_array[3], "! line 4: the file ends inside this object");
    let deep = format!(
        "[{{\"sku\":\"a\",\"x\":{}{}}},{{\"sku\":\"b\",\"image\":\"a.jpg\"}}]",
        "[".repeat(5000),
        "]".repeat(5000)
    );
    assert_eq!(told(&read("c.json", &deep, &["a.jpg"]))[1], "1 b  [\"a.jpg\"]");
}

#[test]
fn what_is_no_catalog_is_one_clear_error() {
    let table: [(&str, &[u8], &str); 9] = [
        ("c.csv", b"", "is empty"),
        ("c.csv", b" \n\n", "is empty"),
        ("c.csv", b"PK\x03\x04rest", "an Excel workbook or a zip archive"),
        ("c.csv", b"\x89PNG\r\n\x1a\n", "a PNG image"),
        ("c.csv", &[1; 100], "binary data"),
        ("c.csv", b"sku,title\n", "has no products"),
        ("c.csv", b"colour,title\nred,x\n", "has no SKU column; its columns are: colour, title"),
        ("c.json", b"[]", "has no products"),
        ("c.json", b"{\"sku\" oops", "is not valid JSON: line 1"),
    ];
    for (name, bytes, wanted) in table {
        let error = read_bytes(name, bytes, &[]).unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
        assert!(!error.hint().is_empty());
    }
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Catalog::open(dir.path(), None), Err(CatalogError::NotAFile { .. })));
    assert!(matches!(Catalog::open(&dir.path().join("no"), None), Err(CatalogError::Unreadable { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), name in "c\\.(csv|tsv|json|jsonl)") {
        let _ = read_bytes(&name, &bytes, &[]);
    }

    #[test]
    fn arbitrary_syntax_never_panics_and_lines_exist(
        body in "([a-c ,;\t\n\r\"{}\\[\\]:]|\"\"|\r\n|\"sku\":|\\{\"sku\":\"a\"\\}){0,80}",
        head in "(sku,title,image\n|sku;title\n|\\[|\\{\"products\":\\[)",
        name in "c\\.(csv|tsv|json|jsonl)",
    ) {
        let text = format!("{head}{body}");
        if let Ok((entries, _dir)) = read_bytes(&name, text.as_bytes(), &[]) {
            let lines = text.split('\n').flat_map(|l| l.split('\r')).count() as u64;
            let mut last = 0;
            for row in entries.iter().flat_map(|e| &e.rows) {
                prop_assert!(row.line >= last && row.line <= lines.max(1), "line {} of {lines}", row.line);
                last = row.line;
            }
        }
    }

    #[test]
    fn proper_csv_comes_back_exactly(rows in prop::collection::vec(prop::collection::vec("[a-z,;\"\n é]{0,12}", 2), 1..12)) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["sku", "title", "image"]).unwrap();
        let mut lines = Vec::new();
        for (n, row) in rows.iter().enumerate() {
            let sku = format!("s{n}");
            writer.flush().unwrap();
            lines.push(writer.get_ref().split(|b| *b == b'\n').count() as u64);
            writer.write_record([sku.as_str(), row[0].as_str(), row[1].as_str()]).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let (entries, _dir) = read_bytes("c.csv", &bytes, &[]).unwrap();
        let found: Vec<&RawRow> = entries.iter().flat_map(|e| &e.rows).collect();
        prop_assert_eq!(found.len(), rows.len());
        for ((raw, row), line) in found.iter().zip(&rows).zip(lines) {
            prop_assert_eq!(raw.line, line);
            prop_assert_eq!(&raw.cells[1..], &row[..]);
        }
    }
}
