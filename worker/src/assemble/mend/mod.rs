//! An image that stands out of its set goes back for an edit before anybody is asked.
//!
//! Colour and cast are harmonised with the reference, or else with the middle one of the set;
//! softness is restored; a packshot with too much room is cropped. An edited image takes the
//! place of the accepted one only when the ordinary review accepts it against the reference,
//! when it stands out no more or by a fifth less, and when nothing else stands out instead.
//! What was tried is recorded either way. Everything here is counted and nothing is timed, so
//! that the same members always give the same bytes.

mod cure;

use packshot_pipeline::finding::{EditOp, Finding, Severity};
use packshot_pipeline::role::Role;
use serde::{Deserialize, Serialize};

use super::consistency::{SetFinding, Standing, axis_of, compare};
use super::export::Member;
use crate::refine::Truth;

use cure::CureError;

/// Rounds over a set: what one edit leaves, a second may take away.
const ROUNDS: usize = 2;
/// Edits tried in one set at most.
const EDITS_MAX: usize = 6;
/// Share of its distance that an image may keep to count as better though it still stands out.
const KEPT_MAX: f64 = 0.8;

/// An edit that was tried on an image because it stood out of its set.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SetEdit {
    /// The image.
    pub role: Role,
    /// Its frame; empty for the role's only one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub frame: String,
    /// The property in which it stood out.
    pub property: String,
    /// The operation.
    pub op: EditOp,
    /// What it was brought in line with: `the reference`, or an image of the set.
    pub against: String,
    /// Whether the edited image is the one in the set.
    pub used: bool,
    /// Distance to the middle one of the others before, in the property's own unit.
    pub before: f64,
    /// The same with the edited image; `None` when there was none to measure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<f64>,
    /// The distance from which an image stands out.
    pub limit: f64,
    /// What the operation did, or why the edited image is not used.
    pub said: String,
}

impl SetEdit {
    /// A used edit as a note for the report.
    pub fn remark(&self) -> Finding {
        let after = self.after.unwrap_or(self.before);
        Finding {
            axis: axis_of(&self.property),
            severity: Severity::Note,
            region: None,
            evidence: format!(
                "it stood out of its set in {} ({:.2}, up to {:.2} is alike) and was edited: {} against {}, now {after:.2}: {}",
                self.property,
                self.before,
                self.limit,
                self.op.word(),
                self.against,
                self.said
            ),
            value: after,
            threshold: self.limit,
        }
    }
}

/// A set as it will be exported, and how its images stand to each other.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The images, in the order given.
    pub members: Vec<Member>,
    /// Where they still disagree.
    pub findings: Vec<SetFinding>,
    /// What was tried, in order.
    pub edits: Vec<SetEdit>,
}

impl Compared {
    /// Compares `members` with each other and edits none.
    pub fn as_they_are(members: Vec<Member>) -> Compared {
        let all: Vec<&Member> = members.iter().collect();
        let findings = super::consistency(&all);
        Compared { members, findings, edits: Vec::new() }
    }

    /// Whether an edit may bring an image in line.
    pub fn is_curable(&self) -> bool {
        self.findings.iter().any(|finding| finding.edit.is_some())
    }
}

/// What an image is brought in line with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Against {
    Reference,
    Medoid,
}

/// Edits the images of `set` that stand out. `truth` is what an image of a role must be true
/// to; images of a role without one are left alone, because nothing could be proved of them.
pub fn mend<'t>(set: Compared, truth: impl Fn(Role) -> Option<Truth<'t>>) -> Compared {
    let Compared { mut members, findings: _, mut edits } = set;
    let mut tried: Vec<(usize, EditOp, Against)> = Vec::new();
    let mut standings = standings_of(&members);
    for _ in 0..ROUNDS {
        let before = tried.len();
        loop {
            let next = standings.iter().find_map(|(standing, finding)| {
                let op = finding.as_ref()?.edit?;
                let untried = |against: &Against| {
                    let this_round =
                        tried[before..].iter().any(|(m, o, _)| (*m, *o) == (standing.member, op));
                    !this_round && !tried.contains(&(standing.member, op, *against))
                };
                against(op).iter().copied().find(untried).map(|against| (*standing, op, against))
            });
            let Some((standing, op, against)) = next.filter(|_| tried.len() < EDITS_MAX) else { break };
            tried.push((standing.member, op, against));
            let Some(truth) = truth(members[standing.member].role) else { continue };
            let attempt = Attempt { members: &members, standings: &standings, standing, op, against, truth };
            let (edit, edited) = attempt.made();
            edits.push(edit);
            if let Some(edited) = edited {
                members[standing.member] = edited;
                standings = standings_of(&members);
            }
        }
        if tried.len() == before {
            break;
        }
    }
    let findings = standings.into_iter().filter_map(|(_, finding)| finding);
    let findings = findings.map(|finding| with_attempts(finding, &edits)).collect();
    Compared { members, findings, edits }
}

type Standings = Vec<(Standing, Option<SetFinding>)>;

fn standings_of(members: &[Member]) -> Standings {
    compare(&members.iter().collect::<Vec<_>>())
}

/// What an operation is tried against, in turn: the truest picture first.
fn against(op: EditOp) -> &'static [Against] {
    if op == EditOp::Harmonise { &[Against::Reference, Against::Medoid] } else { &[Against::Medoid] }
}

/// One edit of one image.
struct Attempt<'a> {
    members: &'a [Member],
    standings: &'a Standings,
    standing: Standing,
    op: EditOp,
    against: Against,
    truth: Truth<'a>,
}

impl Attempt<'_> {
    /// The record of the attempt, and the edited image when it is to be used.
    fn made(&self) -> (SetEdit, Option<Member>) {
        let member = &self.members[self.standing.member];
        let mut record = SetEdit {
            role: member.role,
            frame: member.frame.clone(),
            property: self.standing.property.to_owned(),
            op: self.op,
            against: match self.against {
                Against::Reference => "the reference".to_owned(),
                Against::Medoid => format!("the {} image", self.members[self.standing.medoid].words()),
            },
            used: false,
            before: rounded(self.standing.distance),
            after: None,
            limit: rounded(self.standing.limit),
            said: String::new(),
        };
        match self.judged(&mut record) {
            Ok((edited, did)) => {
                record.used = true;
                record.said = did;
                (record, Some(edited))
            }
            Err(error) => {
                record.said = error.to_string();
                (record, None)
            }
        }
    }

    /// Edits, reviews, and compares with the set again.
    fn judged(&self, record: &mut SetEdit) -> Result<(Member, String), CureError> {
        let member = &self.members[self.standing.member];
        let medoid = &self.members[self.standing.medoid];
        let (edited, did) = if self.op == EditOp::Harmonise {
            let (picture, product) = match self.against {
                Against::Reference => (&self.truth.photo.rgb, &self.truth.cutout.alpha),
                Against::Medoid => (&medoid.image, &medoid.product_mask),
            };
            cure::harmonised(member, picture, product)?
        } else if self.op == EditOp::Crop {
            cure::cropped(member, medoid)?
        } else {
            cure::restored(member)?
        };
        cure::reviewed(&edited, self.truth)?;
        let all: Vec<&Member> = (0..self.members.len())
            .map(|i| if i == self.standing.member { &edited } else { &self.members[i] })
            .collect();
        let now = compare(&all);
        let same = |standing: &Standing, other: &Standing| {
            (standing.member, standing.property) == (other.member, other.property)
        };
        let after = now.iter().map(|(standing, _)| standing).find(|s| same(s, &self.standing));
        record.after = after.map(|after| rounded(after.distance));
        let better =
            after.is_some_and(|after| !after.is_out() || after.distance <= KEPT_MAX * self.standing.distance);
        if !better {
            return Err(CureError::StillOut);
        }
        let new = now.iter().map(|(standing, _)| standing).filter(|s| s.is_out()).find(|standing| {
            !self.standings.iter().any(|(before, _)| before.is_out() && same(before, standing))
        });
        match new {
            Some(new) => {
                Err(CureError::OtherOut { image: all[new.member].words(), property: new.property.to_owned() })
            }
            None => Ok((edited, did)),
        }
    }
}

/// The finding, which says that edits were tried and why they were not used.
fn with_attempts(mut finding: SetFinding, edits: &[SetEdit]) -> SetFinding {
    let of_it = |edit: &&SetEdit| {
        let cures = finding.edit == Some(edit.op);
        edit.role == finding.role && edit.frame == finding.frame && cures
    };
    let told: Vec<String> = edits
        .iter()
        .filter(of_it)
        .map(|edit| {
            let how = if edit.used { "made it better" } else { "was not used" };
            format!("{} against {} {how}: {}", edit.op.word(), edit.against, edit.said)
        })
        .collect();
    for tried in told {
        finding.finding.evidence.push_str("; ");
        finding.finding.evidence.push_str(&tried);
    }
    finding
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests;
