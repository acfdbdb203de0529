//! An error with its causes, on one line. A cause that the text before it ends with already, as
//! some libraries write them, is not said twice.

use std::error::Error;

/// What `error` and its causes say.
pub fn chain(error: &dyn Error) -> String {
    with_causes(error.to_string(), error.source())
}

/// `text`, followed by `cause` and what is behind it.
pub fn with_causes(mut text: String, mut cause: Option<&(dyn Error + 'static)>) -> String {
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("opening")]
        struct Opening(#[source] Login);
        #[derive(Debug, thiserror::Error)]
        #[error("login: refused")]
        struct Login(#[source] std::io::Error);
        let said = |cause: &str| chain(&Opening(Login(std::io::Error::other(cause))));
        assert_eq!(said("refused"), "opening: login: refused");
        assert_eq!(said("no password"), "opening: login: refused: no password");
    }
}
