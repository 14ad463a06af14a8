use super::veiled;

#[test]
fn a_line_is_told_without_its_secrets() {
    for (line, want) in [
        ("", ""),
        ("key", "key"),
        ("key = \"s3cret\"", "key = \"***\""),
        ("key='s3cret'", "key='***'"),
        ("\"key\" = 's3cret'", "\"key\" = '***'"),
        ("kcp.key = \"s3cret\" # why", "kcp.key = \"***\" # why"),
        (
            "kcp = { crypt = 'xor', raw_key = '00ff', mtu = 1 }",
            "kcp = { crypt = 'xor', raw_key = '***', mtu = 1 }",
        ),
        ("key = 's3cret', raw_key = \"00ff\"", "key = '***', raw_key = \"***\""),
        // A quote within, and a line that ends too soon.
        (r#"key = "s3\"cret\\", mtu = 1"#, r#"key = "***", mtu = 1"#),
        ("key = 's3\\', mtu = 1", "key = '***', mtu = 1"),
        ("key = \"s3cret", "key = \"***"),
        ("key = \"s3cret\\", "key = \"***"),
        ("key = 'sécret ключ'", "key = '***'"),
        // A variable is no secret, unless something stands beside it.
        ("key = \"${KCP_KEY}\"", "key = \"${KCP_KEY}\""),
        ("key = \"${A}s3cret\"", "key = \"***\""),
        ("key = \"${s3cret\"", "key = \"***\""),
        // Other keys.
        ("key_file = \"kcp.key\"", "key_file = \"kcp.key\""),
        ("monkey = \"banana\"", "monkey = \"banana\""),
        ("api-key = \"shown\"", "api-key = \"shown\""),
        ("key = 5", "key = 5"),
        ("the key is = \"shown\"", "the key is = \"shown\""),
    ] {
        assert_eq!(veiled(line), want, "{line}");
    }
}
