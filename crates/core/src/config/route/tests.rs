#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::super::{Config, ConfigErrors, Hello, Resolver, effective};

#[test]
fn addresses_of_foreign_gateways_are_warned_of_and_answered_as_those_did() {
    for (hello, want, success, failure) in
        [("frontd", Hello::Frontd, &b""[..], &b"4102"[..]), ("funny", Hello::Funny, b"200", b"502")]
    {
        let config = parse(&format!("hello = '{hello}'")).unwrap_or_else(|errors| panic!("{errors}"));
        let listener = &config.listeners[0];
        assert_eq!(listener.hello, want);
        assert_eq!((&*listener.success_message, &*listener.failure_message), (success, failure), "{hello}");
        assert!(
            matches!(&config.warnings[..], [one] if one.text.contains("prove nothing") && one.text.contains("ticket")),
            "{:?}",
            config.warnings
        );
    }
}

#[test]
fn a_route_of_encrypted_addresses_is_written_as_it_is_read() {
    for keys in ["hello = 'frontd'", "hello = 'funny'\nfailure_message = '504'", ""] {
        let text = file(keys);
        let config = Config::parse(&text, "file", &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
        for again in [config.to_native().unwrap(), effective(&text, "file", &|_| None).unwrap()] {
            let read = Config::parse(&again, "again", &|_| None)
                .unwrap_or_else(|errors| panic!("{errors}\n{again}"));
            assert_eq!(read, Config { warnings: read.warnings.clone(), ..config.clone() }, "{again}");
        }
    }
}

#[test]
fn an_encrypted_address_is_not_put_into_urls_by_itself() {
    let text = file("").replace("'tcp'", "'ws'");
    let config = Config::parse(&text, "file", &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(!config.listeners[0].ws.as_ref().unwrap().query);
    assert!(matches!(&config.routes[0].resolver, Resolver::Frontd(frontd) if frontd.key_file == *"k"));
}

fn parse(listener: &str) -> Result<Config, ConfigErrors> {
    Config::parse(&file(listener), "file", &|_| None)
}

fn file(listener: &str) -> String {
    format!(
        "[[listener]]\nname = 'a'\nprotocol = 'tcp'\nbind = 4043\nroute = 'r'\n{listener}\n\
         [route.r]\nresolver = 'frontd'\nkey_file = 'k'\nallow = '10.0.0.0/8:*'\n"
    )
}
