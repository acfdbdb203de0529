//! `report.html`: one page that opens from disk without a network. SKUs are written one
//! after another as data blocks; the page's own script draws them as they are scrolled to.
//! Small reports carry their thumbnails in the page, large ones beside it in `report/`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use packshot_pipeline::finding::{AxisScore, Finding};
use serde_json::{Value, json};

use super::page;
use super::sku::{ReportFrame, ReportRole, ReportSku};
use super::{ReportError, Summary, WholeFile};

/// Up to so many SKUs the thumbnails are part of the page.
pub const EMBEDDED_SKUS_MAX: u64 = 60;
/// Notices of the catalog that are shown; more are counted.
pub const NOTICES_MAX: u64 = 500;

/// What is known before the first SKU is written.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ReportHead {
    /// Batch name.
    pub batch: String,
    /// The catalog's file name and what it turned out to be.
    pub catalog: String,
    /// When the run ended, for people.
    pub when: String,
    /// How many SKUs will follow, at least roughly; decides where thumbnails go.
    pub skus: u64,
}

/// What kind of thing the catalog notice is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoticeKind {
    /// A row that did not become a product.
    BadRow,
    /// Something odd in a row.
    Warning,
    /// An image file that no product uses.
    UnmatchedFile,
}

/// One line about the catalog as a whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// What about.
    pub kind: NoticeKind,
    /// For people.
    pub text: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

/// The report being written.
#[derive(Debug)]
pub struct HtmlReport {
    file: WholeFile,
    /// Where thumbnails go; `None`: into the page.
    thumbs: Option<PathBuf>,
    notices: u64,
}

impl HtmlReport {
    /// Begins `report.html` in `dir`.
    pub fn create(dir: &Path, head: &ReportHead) -> Result<Self, ReportError> {
        let file = WholeFile::create(&dir.join("report.html"))?;
        let thumbs = (head.skus > EMBEDDED_SKUS_MAX).then(|| dir.join("report").join("thumbs"));
        let mut report = Self { file, thumbs, notices: 0 };
        let written = report.file.writer.write_all(page::head().as_bytes());
        written.map_err(|source| report.file.failed(source))?;
        report.block(&json!({
            "kind": "head", "batch": head.batch, "catalog": head.catalog, "when": head.when,
        }))?;
        Ok(report)
    }

    /// Adds a line about the catalog; over [`NOTICES_MAX`] they are only counted.
    pub fn push_notice(&mut self, notice: &Notice) -> Result<(), ReportError> {
        self.notices += 1;
        if self.notices > NOTICES_MAX {
            return Ok(());
        }
        let about = match notice.kind {
            NoticeKind::BadRow => "bad-row",
            NoticeKind::Warning => "warning",
            NoticeKind::UnmatchedFile => "unmatched-file",
        };
        self.block(&json!({ "kind": "notice", "about": about, "text": notice.text, "hint": notice.hint }))
    }

    /// Adds one SKU; its pictures are not kept.
    pub fn push(&mut self, sku: &ReportSku) -> Result<(), ReportError> {
        let mut references = Vec::with_capacity(sku.references.len());
        for reference in &sku.references {
            let mut frame = self.frame(&reference.frame)?;
            frame["file"] = json!(reference.name);
            frame["reasons"] = json!(reference.reasons);
            references.push(frame);
        }
        let mut roles = Vec::with_capacity(sku.roles.len());
        for role in &sku.roles {
            roles.push(self.role(role)?);
        }
        let facts = sku.facts.iter().map(
            |fact| json!({ "name": fact.name, "value": fact.value, "source": fact.source, "hex": fact.hex }),
        );
        let exports = sku.exports.iter().map(|export| {
            let files = export.files.iter();
            let files = files.map(|(path, role, slot)| json!({ "path": path, "role": role, "slot": slot }));
            json!({ "channel": export.channel, "files": files.collect::<Vec<_>>(), "gaps": export.gaps })
        });
        let block = json!({
            "kind": "sku",
            "sku": sku.sku, "title": sku.title, "brand": sku.brand, "category": sku.category,
            "line": sku.line, "status": sku.status.word(), "reason": sku.reason,
            "warnings": sku.warnings,
            "facts": facts.collect::<Vec<_>>(),
            "references": references,
            "roles": roles,
            "exports": exports.collect::<Vec<_>>(),
        });
        self.block(&block)
    }

    /// Ends the page; only now does `report.html` appear.
    pub fn finish(mut self, summary: &Summary) -> Result<(), ReportError> {
        let numbers = serde_json::to_value(summary).unwrap_or_default();
        self.block(&json!({ "kind": "summary", "numbers": numbers, "notices": self.notices }))?;
        let written = self.file.writer.write_all(page::tail().as_bytes());
        written.map_err(|source| self.file.failed(source))?;
        self.file.finish()
    }

    fn role(&self, role: &ReportRole) -> Result<Value, ReportError> {
        let frames = role.frames.iter().map(|frame| self.frame(frame)).collect::<Result<Vec<_>, _>>()?;
        Ok(json!({
            "role": role.role, "status": role.status.word(), "reason": role.reason, "cached": role.cached,
            "verdict": role.verdict, "maker": role.maker, "source": role.source_type,
            "cost": role.cost.to_string(), "attempts": role.attempts, "notes": role.notes,
            "frames": frames,
            "findings": role.findings.iter().map(finding).collect::<Vec<_>>(),
            "axes": role.axes.iter().map(axis).collect::<Vec<_>>(),
        }))
    }

    fn frame(&self, frame: &ReportFrame) -> Result<Value, ReportError> {
        Ok(json!({
            "name": frame.name, "full": frame.full, "width": frame.width, "height": frame.height,
            "product": frame.product,
            "thumb": self.picture(&frame.thumb)?, "heat": self.picture(&frame.heatmap)?,
        }))
    }

    /// The address of a picture: the picture itself, or a file named by its content.
    fn picture(&self, bytes: &[u8]) -> Result<String, ReportError> {
        if bytes.is_empty() {
            return Ok(String::new());
        }
        let Some(folder) = &self.thumbs else { return Ok(page::data_address(bytes)) };
        let name = blake3::hash(bytes).to_hex();
        let (shelf, name) = (&name[..2], &name[2..26]);
        let folder = folder.join(shelf);
        let path = folder.join(format!("{name}.jpg"));
        let write = || -> io::Result<()> {
            if path.metadata().is_ok_and(|meta| meta.len() == bytes.len() as u64) {
                return Ok(());
            }
            std::fs::create_dir_all(&folder)?;
            std::fs::write(&path, bytes)
        };
        write().map_err(|source| ReportError { path: path.clone(), source })?;
        Ok(format!("report/thumbs/{shelf}/{name}.jpg"))
    }

    /// One data block. `<`, `>` and `&` are written as escapes, so no text of a catalog can
    /// end the block, and the browser takes none of it for markup.
    fn block(&mut self, value: &Value) -> Result<(), ReportError> {
        let mut text = String::with_capacity(1024);
        for c in value.to_string().chars() {
            match c {
                '<' => text.push_str("\\u003c"),
                '>' => text.push_str("\\u003e"),
                '&' => text.push_str("\\u0026"),
                '\u{2028}' => text.push_str("\\u2028"),
                '\u{2029}' => text.push_str("\\u2029"),
                other => text.push(other),
            }
        }
        let written = writeln!(self.file.writer, "<script type=\"application/json\">{text}</script>");
        written.map_err(|source| self.file.failed(source))
    }
}

fn finding(finding: &Finding) -> Value {
    json!({
        "axis": finding.axis, "severity": finding.severity, "evidence": finding.evidence,
        "value": finding.value, "threshold": finding.threshold, "region": finding.region,
    })
}

fn axis(axis: &AxisScore) -> Value {
    json!({
        "axis": axis.axis, "score": axis.score, "threshold": axis.threshold,
        "confidence": axis.confidence, "pass": axis.pass,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::super::sku::{ReportFact, ReportReference, ReportStatus};
    use super::*;

    fn sku(name: &str) -> ReportSku {
        ReportSku {
            sku: name.to_owned(),
            title: "</script><script>alert(1)</script><!--".to_owned(),
            brand: "\u{2028}&lt;".to_owned(),
            category: String::new(),
            line: 2,
            status: ReportStatus::Accepted,
            reason: String::new(),
            warnings: vec!["<img src=x onerror=alert(1)>".to_owned()],
            facts: vec![ReportFact {
                name: "colour".to_owned(),
                value: "sage".to_owned(),
                source: "pixels",
                hex: Some("#88aa88".to_owned()),
            }],
            references: vec![ReportReference {
                frame: ReportFrame { thumb: vec![1, 2, 3], ..ReportFrame::default() },
                ..ReportReference::default()
            }],
            roles: Vec::new(),
            exports: Vec::new(),
        }
    }

    fn page_of(skus: u64) -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().unwrap();
        let head = ReportHead { skus, ..ReportHead::default() };
        let mut report = HtmlReport::create(dir.path(), &head).unwrap();
        report.push(&sku("a")).unwrap();
        report.push(&sku("b")).unwrap();
        assert!(!dir.path().join("report.html").exists(), "appears only when it is whole");
        report.finish(&Summary::default()).unwrap();
        let page = std::fs::read_to_string(dir.path().join("report.html")).unwrap();
        (dir, page)
    }

    #[test]
    fn catalog_text_never_becomes_markup() {
        let (_dir, page) = page_of(2);
        assert!(!page.contains("alert(1)</script>") && !page.contains("<img src=x"));
        let blocks: Vec<Value> = page
            .split("<script type=\"application/json\">")
            .skip(1)
            .map(|rest| serde_json::from_str(rest.split("</script>").next().unwrap()).unwrap())
            .collect();
        assert_eq!(blocks.len(), 4);
        assert_eq!(blocks[1]["title"], sku("a").title, "and nothing of it is lost");
        assert_eq!(blocks[1]["brand"], sku("a").brand);
        assert!(page.contains("default-src 'none'") && !page.contains("unsafe-inline"));
        assert!(!page.contains("{{"), "every place of the page is filled");
        assert!(!page.contains("http://") && !page.contains("https://"), "nothing is loaded from elsewhere");
    }

    #[test]
    fn thumbnails_lie_in_the_page_or_beside_it_once() {
        let (dir, page) = page_of(2);
        assert!(page.contains("data:image/jpeg;base64,AQID") && !dir.path().join("report").exists());
        let (dir, page) = page_of(5000);
        assert!(!page.contains("data:image/jpeg;base64,AQID"));
        let shelves: Vec<_> = std::fs::read_dir(dir.path().join("report/thumbs")).unwrap().collect();
        assert_eq!(shelves.len(), 1);
    }
}
