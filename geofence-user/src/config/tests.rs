//! Tests of the configuration.
use super::*;
#[test]
fn try_out() {
    for t in [
        "block = [\"RU\", \"UK\", \"ru\", 5]\nmoed = 1\n",
        "mode = enforce\nblock = [RU]\n",
        "mode = \"enforce\"\nmode = \"monitor\"\nunknwon=1\n",
        "block = [\"RU\",\n",
        "mode = \"enforce",
        "[policy]\nmode = \"x\"\n",
        "mail.ports = 1\n",
        "[[block]]\ncode = 1\n[mail]\na=1\n",
        "block = [\"RU\"]\nallow-only = [\"DE\"]\n",
        "mode\n",
        "= 1\n",
        "\u{feff}mode = \"enforc\"\n",
        "mode = \"enforce\" x\n",
        "mode = 'enförce'\nallow=['10.0.0.1/8']",
        "mode = \"a\\q\"\n",
        "block = [\"EU\"]]\n",
        "\"mode\" = 1\n\"mode\" = 2",
        "mode: enforce",
        "mode = enforce\nmail = \"full\nservices = [1\n",
        "capacity-mib = 99999999999999999999999",
        "block = \"RU,UA\"",
        "listen = 10317",
        "x = 1\r\ny = 2\r\n",
        "capacity-mib = 0x10\nmail.x.y=1\nmail.x.y=2",
    ] {
        println!("=== {t:?}");
        match Config::parse(t, "g.toml") {
            Ok(_) => println!("OK"),
            Err(e) => println!("{}", e.render(false)),
        }
    }
}
