//! Tests of what may be asked of the admin listener.

use super::*;

fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> http::request::Parts {
    let mut request = http::Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn status(
    (method, target): (&str, &str),
    headers: &[(&str, &str)],
    (loopback, token): (bool, Option<&str>),
) -> u16 {
    let token = token.map(Secret::new);
    let guard = Guard { loopback, token: token.as_ref() };
    match admit(&head(method, target, headers), guard) {
        Ok(_) => 200,
        Err(refusal) => refusal.status.as_u16(),
    }
}

const LOCAL: [(&str, &str); 1] = [("host", "127.0.0.1:9001")];
const TOLD: [(&str, &str); 2] = [("host", "x.example"), ("authorization", "Bearer s3cret")];
const READS: [&str; 5] = ["/", "/status", "/metrics", "/status.json", "/config"];

#[test]
fn health_is_open_to_everybody() {
    for target in ["/livez", "/healthz", "/readyz", "/readyz?writes=1&store=1&verbose"] {
        for guard in [(true, None), (false, None), (false, Some("s3cret"))] {
            assert_eq!(status(("GET", target), &[("host", "evil.example")], guard), 200);
            assert_eq!(status(("HEAD", target), &[], guard), 200);
        }
    }
}

#[test]
fn the_rest_is_read_on_this_machine_or_with_the_token() {
    for target in READS {
        assert_eq!(status(("GET", target), &LOCAL, (true, None)), 200);
        assert_eq!(status(("GET", target), &LOCAL, (true, Some("s3cret"))), 200);
        assert_eq!(status(("GET", target), &LOCAL, (false, None)), 403);
        assert_eq!(status(("GET", target), &LOCAL, (false, Some("s3cret"))), 401);
        assert_eq!(status(("GET", target), &TOLD, (false, Some("s3cret"))), 200);
        assert_eq!(status(("GET", target), &TOLD, (true, Some("s3cret"))), 200);
    }
}

#[test]
fn what_changes_something_needs_the_token_everywhere() {
    for target in ["/log-level", "/reload", "/drain"] {
        assert_eq!(status(("POST", target), &LOCAL, (true, None)), 403);
        assert_eq!(status(("POST", target), &LOCAL, (true, Some("s3cret"))), 401);
        assert_eq!(status(("POST", target), &TOLD, (true, Some("s3cret"))), 200);
        assert_eq!(status(("GET", target), &TOLD, (true, Some("s3cret"))), 405);
    }
    assert_eq!(status(("POST", "/metrics"), &TOLD, (true, Some("s3cret"))), 405);
}

#[test]
fn only_the_whole_token_counts() {
    for wrong in ["Bearer s3cre", "Bearer s3crett", "Bearer ", "Basic s3cret", "s3cret", "Bearer"] {
        let headers = [("host", "127.0.0.1"), ("authorization", wrong)];
        assert_eq!(status(("GET", "/metrics"), &headers, (false, Some("s3cret"))), 401, "{wrong}");
    }
    let headers = [("authorization", "bearer s3cret")];
    assert_eq!(status(("GET", "/metrics"), &headers, (false, Some("s3cret"))), 200);
}

fn admitted(target: &str, headers: &[(&str, &str)], loopback: bool) -> Result<Route, Refusal> {
    let token = Secret::new("s3cret");
    admit(&head("GET", target, headers), Guard { loopback, token: Some(&token) })
}

#[test]
fn a_browser_sends_the_token_as_a_password_and_only_reads_with_it() {
    let password = |pair: &str| format!("Basic {}", BASE64.encode(pair));
    for (sent, expected) in [
        (password("operator:s3cret"), 200),
        (password(":s3cret"), 200),
        (password("operator:s3cret").replace("Basic", "bASIC"), 200),
        (password("operator:s3cret:"), 401),
        (password("s3cret"), 401),
        (password("s3cret:"), 401),
        ("Basic !!!".to_owned(), 401),
    ] {
        let headers = [("host", "x.example"), ("authorization", &*sent)];
        for target in READS {
            assert_eq!(
                status(("GET", target), &headers, (false, Some("s3cret"))),
                expected,
                "{sent}"
            );
        }
        for target in ["/log-level", "/reload", "/drain"] {
            assert_eq!(status(("POST", target), &headers, (true, Some("s3cret"))), 401, "{sent}");
        }
    }
    // Where there is no token, none is right.
    let headers = [("host", "x.example"), ("authorization", "Basic Og==")];
    assert_eq!(status(("GET", "/"), &headers, (false, None)), 403);
}

#[test]
fn only_the_page_has_a_browser_ask_for_the_token() {
    for (target, asks) in [("/", true), ("/status", true), ("/sign-in", true), ("/config", false)] {
        assert_eq!(admitted(target, &LOCAL, false).unwrap_err(), Refusal { asks, ..TOKEN });
    }
    // To sign in is to show the token, on this machine too.
    assert_eq!(admitted("/sign-in", &LOCAL, true).unwrap_err(), Refusal { asks: true, ..TOKEN });
    assert_eq!(admitted("/sign-in", &TOLD, true), Ok(Route::SignIn));
    assert_eq!(status(("GET", "/sign-in"), &LOCAL, (true, None)), 403);
}

#[test]
fn names_are_for_those_who_have_told_the_token() {
    for (target, route) in [
        ("/", (|names| Route::Page { names }) as fn(bool) -> Route),
        ("/status.json", |names| Route::Status { names }),
    ] {
        assert_eq!(admitted(target, &LOCAL, true), Ok(route(false)));
        assert_eq!(admitted(target, &TOLD, true), Ok(route(true)));
    }
}

#[test]
fn a_page_of_another_site_gets_nothing() {
    for (host, expected) in [
        ("localhost", 200),
        ("LOCALHOST:9001", 200),
        ("127.0.0.1", 200),
        ("[::1]:9001", 200),
        ("[::1]", 200),
        ("10.1.2.3:80", 200),
        ("evil.example", 421),
        ("evil.example:9001", 421),
        ("127.0.0.1.evil.example:9001", 421),
        ("localhost.evil.example", 421),
        ("", 421),
    ] {
        assert_eq!(status(("GET", "/config"), &[("host", host)], (true, None)), expected, "{host}");
    }
    assert_eq!(status(("GET", "/config"), &[], (true, None)), 421);
    let two = [("host", "127.0.0.1"), ("host", "evil.example")];
    assert_eq!(status(("GET", "/config"), &two, (true, None)), 421);
}

#[test]
fn a_check_that_is_not_known_is_refused_and_not_passed() {
    let asked = |query| readiness(query).map_err(|refusal| refusal.status.as_u16());
    let writes = Readiness { writes: true, ..Readiness::default() };
    assert_eq!(asked(""), Ok(Readiness::default()));
    assert_eq!(asked("writes=1"), Ok(writes));
    assert_eq!(asked("writes"), Ok(writes));
    assert_eq!(asked("writes=1&store=0"), Ok(writes));
    assert_eq!(asked("write=1"), Err(400));
    assert_eq!(asked("writes=yes"), Err(400));
    assert_eq!(status(("GET", "/elsewhere"), &LOCAL, (true, None)), 404);
}
