//! `packshot edit`: one operation on one image.

use std::collections::BTreeMap;

use anyhow::anyhow;
use packshot_imaging::cutout::Segmenter;
use packshot_imaging::photo::Photo;
use packshot_pipeline::finding::EditOp;
use packshot_worker::edit::{self, EditError, EditRequest, Kind};

use super::{EditArgs, images};
use crate::exit::{Exit, Failure};
use crate::{session, terminal};

/// Answers the command.
pub fn edit(arguments: &EditArgs) -> Result<Exit, Failure> {
    let op = EditOp::parse(&arguments.op).ok_or_else(|| {
        let words: Vec<&str> = EditOp::ALL.iter().map(|op| op.word()).collect();
        Failure::usage(anyhow!("there is no operation {:?}", arguments.op))
            .hint(format!("use one of {}", words.join(", ")))
    })?;
    if arguments.settings.iter().any(|setting| setting == "help") {
        terminal::data(edit::help(op).trim_end());
        return Ok(Exit::Complete);
    }
    let settings = parse(&arguments.settings)?;
    let (Some(image), Some(out)) = (&arguments.image, &arguments.out) else {
        return Err(Failure::usage(anyhow!("what to edit or where the result goes is not said"))
            .hint("name the image and `--out FILE`"));
    };
    let model = if edit::cuts_out(op) {
        session::matting(&session::settings(arguments.config.as_deref(), Vec::new())?.matting)?
    } else {
        None
    };
    let photo = images::read(image)?;
    let mask = arguments.mask.as_deref().map(images::read_mask).transpose()?;
    let picture = picture(op, &settings)?;
    let edited = edit::apply(&EditRequest {
        op,
        image: &photo.rgb,
        alpha: photo.alpha.as_ref(),
        mask: mask.as_ref(),
        product: None,
        segmenter: model.as_deref().map(|model| model as &dyn Segmenter),
        picture: picture.as_ref().map(|picture| &picture.rgb),
        picture_product: picture.as_ref().and_then(|picture| picture.alpha.as_ref()),
        settings: &settings,
    })
    .map_err(|error| {
        let about_settings = matches!(error, EditError::Settings(_));
        let failure = Failure::usage(error);
        if about_settings {
            failure.hint(format!("`--op {} --set help` lists the settings", op.word()))
        } else {
            failure
        }
    })?;
    images::write(out, &edited.image, edited.alpha.as_ref())?;
    for note in &edited.notes {
        terminal::note(note);
    }
    terminal::note(format!("wrote {}", out.display()));
    Ok(Exit::Complete)
}

fn parse(settings: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    settings
        .iter()
        .map(|setting| match setting.split_once('=') {
            Some((name, value)) => Ok((name.trim().to_owned(), value.trim().to_owned())),
            None => Err(Failure::usage(anyhow!("`--set {setting}` is not of the form key=value"))),
        })
        .collect()
}

/// The picture that a setting of the operation names as a file, if one does.
fn picture(op: EditOp, settings: &BTreeMap<String, String>) -> Result<Option<Photo>, Failure> {
    let named = edit::settings(op).iter().find(|setting| setting.kind == Kind::Picture);
    match named.and_then(|setting| settings.get(setting.name)) {
        Some(path) => images::read(path.as_ref()).map(Some),
        None => Ok(None),
    }
}
