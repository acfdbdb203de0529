//! What happened to marks, in a sentence for a catalog manager: "label: 3 marks missing at the
//! top; a mark at the foot moved by 14 px".

use packshot_imaging::photo::Rect;
use packshot_pipeline::facts::{ProtectedKind, ProtectedRegion};

use super::frame::Frame;

/// What happened to one mark.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Fate {
    /// Not there any more.
    Missing,
    /// Found elsewhere, so many candidate pixels away.
    Moved(f32),
    /// Not in the reference.
    Added,
    /// There, but not the same.
    Changed,
}

/// One mark, where it lies in words, and whether it belongs to a label.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Mark {
    pub(super) fate: Fate,
    pub(super) side: &'static str,
    pub(super) label: bool,
}

/// Joins marks of one fate and place; those on labels first. Empty for none.
pub(super) fn sentence(marks: &[Mark]) -> String {
    let groups = |label: bool| {
        let mut groups: Vec<(Mark, usize)> = Vec::new();
        for mark in marks.iter().filter(|m| m.label == label) {
            let same = |m: &Mark| {
                m.side == mark.side
                    && match (m.fate, mark.fate) {
                        (Fate::Missing, Fate::Missing)
                        | (Fate::Added, Fate::Added)
                        | (Fate::Changed, Fate::Changed) => true,
                        (Fate::Moved(_) | Fate::Missing | Fate::Added | Fate::Changed, _) => false,
                    }
            };
            match groups.iter_mut().find(|(m, _)| same(m)) {
                Some((_, count)) => *count += 1,
                None => groups.push((*mark, 1)),
            }
        }
        groups.into_iter().take(3).map(|(m, n)| phrase(m, n)).collect::<Vec<_>>().join("; ")
    };
    let (label, rest) = (groups(true), groups(false));
    match (label.is_empty(), rest.is_empty()) {
        (true, _) => rest,
        (false, true) => format!("label: {label}"),
        (false, false) => format!("label: {label}; elsewhere: {rest}"),
    }
}

fn phrase(mark: Mark, count: usize) -> String {
    let side = mark.side;
    let marks = if count == 1 { "a mark".to_owned() } else { format!("{count} marks") };
    match mark.fate {
        Fate::Missing => format!("{marks} missing at the {side}"),
        Fate::Added => format!("{marks} added at the {side}"),
        Fate::Changed => format!("{marks} changed at the {side}"),
        Fate::Moved(far) => format!("{marks} at the {side} moved by {far:.0} px"),
    }
}

/// Whether a place of the frame lies on a label of the reference.
pub(super) fn on_label(frame: &Frame, rect: Rect, protected: &[ProtectedRegion]) -> bool {
    let (x, y) = (rect.x as f32 + rect.w as f32 / 2.0, rect.y as f32 + rect.h as f32 / 2.0);
    protected.iter().filter(|p| p.kind == ProtectedKind::Label).any(|p| {
        let (x0, y0) = frame.place_of((p.region.x as f32, p.region.y as f32));
        let (x1, y1) = frame.place_of(((p.region.x + p.region.w) as f32, (p.region.y + p.region.h) as f32));
        x >= x0 && x <= x1 && y >= y0 && y <= y1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_counted_by_place() {
        let mark = |fate, side, label| Mark { fate, side, label };
        let marks = [
            mark(Fate::Missing, "top", true),
            mark(Fate::Missing, "top", true),
            mark(Fate::Moved(14.2), "foot", false),
        ];
        assert_eq!(
            sentence(&marks),
            "label: 2 marks missing at the top; elsewhere: a mark at the foot moved by 14 px"
        );
        assert_eq!(sentence(&[]), "");
    }
}
