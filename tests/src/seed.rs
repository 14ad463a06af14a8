//! The config of the first gateway of this kind.

use std::process::Command;

use crate::{Site, binary};

/// The file as it was published; `port`s and the folder of the logs are replaced before it is used.
const FILE: &str = r#"[log]
infofilePath = "/Users/dd/Documents/vkgateway/log/info.log"
errorfilePath = "/Users/dd/Documents/vkgateway/log/error.log"

[tcpgate]
port = 7082 # 监听端口
enabled = true # 是否开启 tcp 协议 网关
dial_timeout = 5 # 后端连接超时 秒
zero_copy = false # 零拷贝


[kcpgate]
port = 8082 # 监听端口
enabled = true # 是否开启 kcp 协议 网关
dial_timeout = 5 # 后端连接超时 秒
zero_copy = false # 零拷贝

[wsgate]
port = 9082 # 监听端口
enabled = true # 是否开启 ws 协议 网关
dial_timeout = 5 # 后端连接超时 秒

[common]
dial_retry = 3 # 后端连接失败重试次数
header_identify = "ipHost" # 后段地址获取策略 可选 origin jwt
success_resp_message = "b2s=" # success_resp_message  ok
connect_timeout = 10 # connect_timeout  握手等待超时时间 秒 seconds
kcp_reciprocity = true # kcp_reciprocity  kcp 网关是否 后端连接是否对等
"#;

/// The file, on ports of the kernel's choice, with its logs in the gate's folder.
#[must_use]
pub fn file() -> String {
    let ports = ["port = 7082", "port = 8082", "port = 9082"];
    ports.iter().fold(FILE.replace("/Users/dd/Documents/vkgateway", "{folder}"), |text, port| {
        text.replace(port, "port = 0")
    })
}

/// The same with `zero_copy` wherever it can be.
#[must_use]
pub fn with_zero_copy() -> String {
    file().replace("zero_copy = false", "zero_copy = true")
}

/// The same, in the native form, as `portcullis convert` prints it.
#[must_use]
pub fn converted(config: &str) -> String {
    let site = Site::new();
    let path = site.write("seed.toml", config);
    let output = Command::new(binary()).arg("convert").arg("--config").arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
