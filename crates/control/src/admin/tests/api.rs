//! The admin API: who may do what, what is refused how, and what is told of it.

use super::*;

/// Every path with its methods, and what the API answers to whoever may operate.
const PATHS: &[(&str, &str, u16)] = &[
    ("GET", "/v1/status", 200),
    ("GET", "/api/v1/status", 200),
    ("GET", "/v1/config", 200),
    ("GET", "/v1/limits", 200),
    ("GET", "/v1/sessions", 200),
    ("GET", "/v1/sessions/1f", 404),
    ("DELETE", "/v1/sessions/1f", 404),
    ("POST", "/v1/sessions/close", 400),
    ("POST", "/v1/tokens/forget", 400),
    ("GET", "/v1/bans", 200),
    ("POST", "/v1/bans", 400),
    ("DELETE", "/v1/bans", 400),
    ("GET", "/v1/upstreams", 200),
    ("GET", "/v1/upstreams/lobby", 200),
    ("PATCH", "/v1/upstreams/lobby/endpoints/10.0.0.1:7000", 400),
];

impl World {
    fn bearer(token: &str) -> String {
        format!("Authorization: Bearer {token}\r\n")
    }

    /// Asks as an operator; the answer as JSON.
    async fn operate(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (code, text) = self.ask(method, path, &Self::bearer(&self.token), &body).await;
        (code, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
    }

    /// For each of these there is a line in the log that has all of its words. The log ends with it.
    fn has_logged(&mut self, lines: &[&[&str]]) {
        let log = self.log.take().expect("a log ends once");
        assert!(log.finish(Duration::from_secs(20)), "the log is written");
        let text = fs::read_to_string(self.folder.join("info.log")).unwrap();
        for words in lines {
            let line = text.lines().find(|line| words.iter().all(|word| line.contains(word)));
            assert!(line.is_some(), "no line has {words:?}: {text}");
        }
    }
}

#[tokio::test]
async fn a24_nobody_without_a_token_and_nobody_who_may_only_look_changes_anything() {
    let mut world = World::start();
    let (read, operate) = (World::bearer(&world.read_token), World::bearer(&world.token));
    for (method, path, want) in PATHS {
        let looks = *method == "GET";
        assert_eq!(world.ask(method, path, "", "").await.0, 401, "{method} {path} without a token");
        assert_eq!(world.ask(method, path, &World::bearer("x"), "").await.0, 401, "{method} {path}");
        let cookie = format!("Cookie: token={}\r\nOrigin: https://evil.example\r\n", world.token);
        assert_eq!(world.ask(method, path, &cookie, "").await.0, 401, "{method} {path} with a cookie");
        let may_look = if looks { *want } else { 403 };
        assert_eq!(world.ask(method, path, &read, "").await.0, may_look, "{method} {path} to look");
        let (code, text) = world.ask(method, path, &operate, "").await;
        assert_eq!(code, *want, "{method} {path} to operate");
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer.get("error").is_some(), code >= 400, "{answer}");
    }
    for (method, path, want) in
        [("PUT", "/v1/sessions", 405), ("GET", "/v1/reload", 405), ("GET", "/v1/nothing", 404)]
    {
        let (code, answer) = world.operate(method, path, &Value::Null).await;
        assert_eq!(code, want, "{method} {path}");
        assert!(answer["error"].is_string(), "{answer}");
    }
    world.has_logged(&[
        &["admin change refused", "role=none", "DELETE /v1/sessions/1f", "peer=127.0.0.1:"],
        &["admin change refused", "role=read", "status=403"],
    ]);
}

#[tokio::test]
async fn what_is_not_understood_is_told_as_json() {
    let world = World::start();
    let bearer = World::bearer(&world.token);
    for (path, body) in [
        ("/v1/sessions/close", "rubbish"),
        ("/v1/sessions/close", "[]"),
        ("/v1/sessions/close", "{}"),
        ("/v1/sessions/close", r#"{"listener":"in","all":true}"#),
        ("/v1/sessions/close", r#"{"listenr":"in"}"#),
        ("/v1/sessions/close", r#"{"listener":7,"rate":0}"#),
        ("/v1/sessions/close", r#"{"client":"10.0.0.0/33"}"#),
        ("/v1/reload", r#"{"now":true}"#),
        ("/v1/bans", r#"{"network":"10.0.0.0/33"}"#),
        ("/v1/bans", r#"{"network":"0.0.0.0/0"}"#),
        ("/v1/bans", r#"{"network":"10.0.0.1","for":"soon"}"#),
    ] {
        let (code, answer) = world.ask("POST", path, &bearer, body).await;
        assert_eq!(code, 400, "{path} {body}: {answer}");
        assert!(answer.contains("\"error\""), "{answer}");
    }
    for path in [
        "/v1/sessions?limit=0",
        "/v1/sessions?limit=1001",
        "/v1/sessions?after=x",
        "/v1/sessions?client=x",
        "/v1/sessions?limits=5",
        "/v1/sessions/xyz",
        "/v1/sessions/+1",
        "/v1/sessions/11112222333344445",
    ] {
        assert_eq!(world.get(path, &bearer).await.0, 400, "{path}");
    }
    let (code, answer) = world.operate("GET", "/v1/sessions?after=9.0", &Value::Null).await;
    assert_eq!((code, answer["error"].is_string()), (400, true), "a worker that is not there: {answer}");
    let long = format!("{{\"listener\":\"{}\"}}", "a".repeat(20_000));
    assert_eq!(world.ask("POST", "/v1/sessions/close", &bearer, &long).await.0, 413);
    let nested = "[".repeat(10_000);
    assert_eq!(world.ask("POST", "/v1/sessions/close", &bearer, &nested).await.0, 400);
}

#[tokio::test]
async fn an_operators_word_about_an_endpoint_is_taken_told_and_written_down() {
    let mut world = World::start();
    let path = "/v1/upstreams/lobby/endpoints/10.0.0.1:7000";
    let (code, answer) = world.operate("PATCH", path, &json!({ "state": "drain", "weight": 0 })).await;
    assert_eq!(code, 200, "{answer}");
    assert_eq!((&answer["state"], &answer["weight"]), (&json!("drain"), &json!(0)));
    assert_eq!(answer["configured_weight"], 3);
    let (_, upstreams) = world.operate("GET", "/v1/upstreams", &Value::Null).await;
    assert_eq!(upstreams["upstreams"][0]["endpoints"][0], answer);
    assert_eq!(upstreams["upstreams"][0]["endpoints"][1]["state"], "ready");
    let (_, answer) = world.operate("PATCH", path, &json!({ "weight": null })).await;
    assert_eq!((&answer["state"], &answer["weight"]), (&json!("drain"), &json!(3)), "null: as configured");
    let six = "/v1/upstreams/lobby/endpoints/%5Bfd00::1%5D:7000";
    assert_eq!(world.operate("PATCH", six, &json!({ "state": "maint" })).await.1["state"], "maint");
    for (path, body, want) in [
        (path, json!({ "state": "up" }), 400),
        (path, json!({ "weight": 257 }), 400),
        (path, json!({ "weight": -1 }), 400),
        (path, json!({ "weight": "1" }), 400),
        (path, json!({ "state": "ready", "force": true }), 400),
        ("/v1/upstreams/lobby/endpoints/10.0.0.9:7000", json!({ "state": "ready" }), 404),
        ("/v1/upstreams/lobby/endpoints/rubbish", json!({ "state": "ready" }), 404),
        ("/v1/upstreams/shop/endpoints/10.0.0.1:7000", json!({ "state": "ready" }), 404),
    ] {
        let (code, answer) = world.operate("PATCH", path, &body).await;
        assert_eq!(code, want, "{path} {body}: {answer}");
    }
    let (_, lobby) = world.operate("GET", "/v1/upstreams/lobby", &Value::Null).await;
    assert_eq!(lobby["endpoints"][0]["state"], "drain", "what is refused changes nothing");
    let told = ["INFO admin change", "role=operate", "PATCH", "10.0.0.1:7000", "state drain, weight 0"];
    world.has_logged(&[&told]);
}

#[tokio::test]
async fn a_reload_is_asked_for_and_answered_with_how_it_went() {
    let mut world = World::start();
    let reloads = std::mem::replace(&mut world.reloads, mpsc::channel(1).1);
    let mut node = JoinSet::new();
    node.spawn(async move {
        let mut reloads = reloads;
        let mut outcomes =
            [Ok(()), Err(vec!["p.toml:1: one".to_owned(), "p.toml:2: two".to_owned()])].into_iter();
        while let (Some(asked), Some(outcome)) = (reloads.recv().await, outcomes.next()) {
            asked.send(outcome).unwrap();
        }
    });
    let (code, answer) = world.operate("POST", "/v1/reload", &Value::Null).await;
    assert_eq!((code, &answer["hash"]), (200, &json!("00000007")));
    let (code, answer) = world.operate("POST", "/v1/reload", &Value::Null).await;
    assert_eq!((code, &answer["errors"][1]), (409, &json!("p.toml:2: two")), "{answer}");
    world.status.begin_draining();
    assert_eq!(world.operate("POST", "/v1/reload", &Value::Null).await.0, 409);
    world.has_logged(&[&["INFO admin change", "POST /v1/reload", "00000007 is in force"]]);
}

#[tokio::test]
async fn the_configuration_in_force_and_the_limits_are_told() {
    let world = World::start();
    let (_, config) = world.operate("GET", "/v1/config", &Value::Null).await;
    assert_eq!(config, json!({ "file": "/etc/p.toml", "hash": "00000007", "effective": "workers = 1\n" }));
    let (_, limits) = world.operate("GET", "/v1/limits", &Value::Null).await;
    let sessions =
        json!({ "owner": "process", "scope": "process", "name": "sessions", "value": 500, "level": 0 });
    assert_eq!(limits["limits"][0], sessions, "{limits}");
    assert_eq!(limits["overload"], json!({ "step": 0, "meaning": "nothing is given up" }));
    let (_, sessions) = world.operate("GET", "/v1/sessions", &Value::Null).await;
    assert_eq!(sessions, json!({ "sessions": [], "next": null }));
    let (code, answer) = world.operate("POST", "/v1/sessions/close", &json!({ "all": true })).await;
    assert_eq!((code, answer), (202, json!({ "closing": 0, "rate": 100 })));
}

#[tokio::test]
async fn a_ban_is_made_told_of_and_lifted() {
    let mut world = World::start();
    for last in 1..=5 {
        let ban = json!({ "network": format!("10.0.0.{last}"), "for": "10m", "why": "scans\nports" });
        let (code, answer) = world.operate("POST", "/v1/bans", &ban).await;
        assert_eq!((code, &answer["left"]), (200, &json!(600.0)), "{answer}");
    }
    let (_, answer) = world.operate("POST", "/v1/bans", &json!({ "network": "fd00::7/64" })).await;
    assert_eq!((&answer["network"], &answer["left"]), (&json!("fd00::/64"), &Value::Null));
    let (mut found, mut path) = (Vec::new(), "/v1/bans?limit=2".to_owned());
    loop {
        let (_, page) = world.operate("GET", &path, &Value::Null).await;
        let bans = page["bans"].as_array().unwrap();
        assert!(bans.len() <= 2, "{page}");
        found.extend(bans.iter().map(|ban| ban["network"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/bans?limit=2&after={}", next.replace('/', "%2F"));
    }
    let wanted = (1..=5).map(|last| format!("10.0.0.{last}/32")).chain(["fd00::/64".into()]);
    assert_eq!(found, wanted.collect::<Vec<_>>());
    let lifted = "/v1/bans?network=10.0.0.3";
    assert_eq!(world.operate("DELETE", lifted, &Value::Null).await.0, 200);
    assert_eq!(world.operate("DELETE", lifted, &Value::Null).await.0, 404);
    assert_eq!(world.proxy.bans().len(), 5);
    // Written on one line, whatever stands in it.
    world.has_logged(&[&["INFO admin change", "10.0.0.5/32 is banned for 600 s: scans\\nports"]]);
}

#[tokio::test]
async fn a_device_that_is_not_there_is_not_forgotten() {
    let world = World::start();
    let forget = |id: &str| json!({ "client_id": id });
    for (id, want) in [("ab".repeat(32), 404), (String::new(), 400), ("a".repeat(1000), 400)] {
        let (code, answer) = world.operate("POST", "/v1/tokens/forget", &forget(&id)).await;
        assert_eq!(code, want, "{id}: {answer}");
    }
}
