//! What an answer means, by what stands at the key afterwards. Pure.

use super::super::conditions::verdict::Said;
use super::super::finding::{Level, is_unclear};
use super::super::talk::Standing;
use super::Judged;

/// Of a write with this content in this form, after which the key shows this. `framed`: the body as it was
/// sent.
pub(super) fn written(said: &Said, content: &[u8], framed: &[u8], standing: &Standing) -> Judged {
    let shown = said.shown();
    let shows = |what: &[u8]| matches!(standing, Standing::Object(found) if found == what);
    let (verdict, level) = match said.status {
        200..=299 if shows(content) => ("taken".to_owned(), Level::Good),
        200..=299 if shows(framed) => ("FRAMING STORED".to_owned(), Level::Bad),
        200..=299 => ("ANOTHER CONTENT".to_owned(), Level::Bad),
        status if is_unclear(status) => (format!("unclear {status}"), Level::Unknown),
        _ if shows(content) => (format!("HALF: {} and done", said.status), Level::Bad),
        _ => (format!("refused {}", said.status), Level::Safe),
    };
    (verdict, shown, level)
}

/// Of a write whose digest is wrong.
pub(super) fn written_wrongly(said: &Said) -> Judged {
    let (verdict, level) = match said.status {
        200..=299 => ("not checked".to_owned(), Level::Safe),
        status if is_unclear(status) => (format!("unclear {status}"), Level::Unknown),
        status => (format!("refused {status}"), Level::Good),
    };
    (verdict, said.shown(), level)
}

/// Of two keys that were written one after the other: what the first shows then.
pub(super) fn apart(first: &Said, second: &Said, content: &[u8], standing: &Standing) -> Judged {
    let refusal = [first, second].into_iter().find(|said| !(200..300).contains(&said.status));
    if let Some(said) = refusal {
        let (word, level) =
            if said.is_unclear() { ("unclear", Level::Unknown) } else { ("refused", Level::Safe) };
        return (format!("{word} {}", said.status), said.shown(), level);
    }
    match standing {
        Standing::Object(found) if found == content => {
            ("kept apart".to_owned(), first.shown(), Level::Good)
        }
        Standing::Object(_) => ("ONE OBJECT".to_owned(), first.shown(), Level::Bad),
        Standing::Nothing => ("LOST".to_owned(), first.shown(), Level::Bad),
    }
}

/// Of a write to a subresource: whether the object is still what it was.
pub(super) fn beside(said: &Said, content: &[u8], standing: &Standing) -> Judged {
    let is_kept = matches!(standing, Standing::Object(found) if found == content);
    let (verdict, level) = match said.status {
        _ if !is_kept => ("TAKEN FOR THE OBJECT".to_owned(), Level::Bad),
        200..=299 => ("taken".to_owned(), Level::Good),
        status if is_unclear(status) => (format!("unclear {status}"), Level::Unknown),
        status => (format!("refused {status}"), Level::Safe),
    };
    (verdict, said.shown(), level)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn said(status: u16) -> Said {
        Said { status, code: String::new() }
    }

    fn shows(content: &'static str) -> Standing {
        Standing::Object(Bytes::from_static(content.as_bytes()))
    }

    #[test]
    fn a_store_that_keeps_the_framing_is_told_from_one_that_takes_it_off() {
        let judge = |status, standing| written(&said(status), b"c", b"1\r\nc", &standing);
        assert_eq!(judge(200, shows("c")).0, "taken");
        assert_eq!(judge(200, shows("1\r\nc")).0, "FRAMING STORED");
        assert_eq!(judge(200, shows("")).2, Level::Bad);
        assert_eq!(judge(501, Standing::Nothing).0, "refused 501");
        assert_eq!(judge(400, shows("c")).0, "HALF: 400 and done");
        assert_eq!(judge(503, shows("c")).2, Level::Unknown);
    }

    #[test]
    fn two_keys_are_one_object_where_the_second_write_shows_at_the_first() {
        let judge = |standing| apart(&said(200), &said(200), b"a", &standing).0;
        assert_eq!(judge(shows("a")), "kept apart");
        assert_eq!(judge(shows("b")), "ONE OBJECT");
        assert_eq!(judge(Standing::Nothing), "LOST");
        let refused = apart(&said(200), &said(400), b"a", &shows("a"));
        assert_eq!((refused.0.as_str(), refused.2), ("refused 400", Level::Safe));
    }

    #[test]
    fn a_subresource_that_replaced_the_object_was_not_known() {
        let judge = |status, standing| beside(&said(status), b"o", &standing).0;
        assert_eq!(judge(200, shows("o")), "taken");
        assert_eq!(judge(200, shows("<Tagging/>")), "TAKEN FOR THE OBJECT");
        assert_eq!(judge(501, shows("o")), "refused 501");
        assert_eq!(written_wrongly(&said(200)).0, "not checked");
        assert_eq!(written_wrongly(&said(400)).2, Level::Good);
    }
}
