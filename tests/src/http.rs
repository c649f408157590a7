//! Asking a server inside a namespace over plain HTTP/1.1: enough for metrics and health, and no more.
//!
//! One request a connection. What the server says is read to its end and kept as it was, so that a test can look at
//! every header.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::namespace::Namespace;

/// How long connecting, and each pause of the server, may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// An answer longer than this means that something is wrong.
const ANSWER_MAX: u64 = 64 << 20;

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code, such as 200.
    pub status: u16,
    /// Names in lower case with their values, in the order sent.
    pub headers: Vec<(String, String)>,
    /// The body as text, chunks joined.
    pub body: String,
}

impl Response {
    /// The value of the first header of this name, in any case of letters.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(each, _)| each.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// Sends `GET path` with further headers to `address` within the namespace.
pub fn get(
    namespace: &Namespace,
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Response> {
    request(namespace, address, "GET", path, headers)
}

/// Sends a request of any method, without a body.
pub fn request(
    namespace: &Namespace,
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Response> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    namespace
        .enter(|| exchange(address, &text))?
        .and_then(|answer| parse(&answer, method == "HEAD"))
        .with_context(|| format!("{method} http://{address}{path}"))
}

fn exchange(address: SocketAddr, request: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).context("connecting")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream
        .write_all(request.as_bytes())
        .context("sending the request")?;
    let mut answer = Vec::new();
    stream
        .take(ANSWER_MAX)
        .read_to_end(&mut answer)
        .context("reading the answer")?;
    Ok(answer)
}

fn parse(answer: &[u8], bodiless: bool) -> Result<Response> {
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .with_context(|| {
            format!(
                "the answer's headers do not end: {:?}",
                String::from_utf8_lossy(answer)
            )
        })?;
    let head = std::str::from_utf8(&answer[..end]).context("the answer's headers are not text")?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1."))
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|code| code.parse().ok())
        .with_context(|| format!("the answer does not start with an HTTP status: {head:?}"))?;
    let headers = lines
        .map(|line| {
            let (name, value) = line
                .split_once(':')
                .with_context(|| format!("not a header: {line:?}"))?;
            Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect::<Result<Vec<_>>>()?;
    let mut response = Response {
        status,
        headers,
        body: String::new(),
    };
    let rest = &answer[end + 4..];
    let body = if response.header("transfer-encoding") == Some("chunked") {
        join_chunks(rest)?
    } else {
        if let Some(length) = response.header("content-length").filter(|_| !bodiless)
            && length.parse() != Ok(rest.len())
        {
            bail!(
                "the answer's body has {} bytes, its content-length is {length}",
                rest.len()
            );
        }
        rest.to_vec()
    };
    response.body = String::from_utf8(body).context("the answer's body is not text")?;
    Ok(response)
}

fn join_chunks(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest
            .windows(2)
            .position(|window| window == b"\r\n")
            .context("the answer ends within a chunk's length")?;
        let digits = std::str::from_utf8(&rest[..end]).context("a chunk's length is not text")?;
        let length = digits.split(';').next().unwrap_or_default().trim();
        let length = usize::from_str_radix(length, 16)
            .with_context(|| format!("not a chunk's length: {digits:?}"))?;
        rest = &rest[end + 2..];
        if length == 0 {
            return Ok(body);
        }
        let (chunk, behind) = rest
            .split_at_checked(length)
            .context("the answer ends within a chunk")?;
        body.extend_from_slice(chunk);
        rest = behind
            .strip_prefix(b"\r\n")
            .context("a chunk is longer than it says")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_answer_is_parsed() {
        let answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nbare\n";
        let response = parse(answer, false).unwrap();
        assert_eq!((response.status, response.body.as_str()), (503, "bare\n"));
        assert_eq!(response.header("CONTENT-TYPE"), Some("text/plain"));
    }

    #[test]
    fn http_chunks_are_joined() {
        let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nabcd\r\n2;x=y\r\nef\r\n0\r\n\r\n";
        assert_eq!(parse(answer, false).unwrap().body, "abcdef");
    }

    #[test]
    fn broken_http_answers_are_errors() {
        let broken: [&[u8]; 6] = [
            b"",
            b"HTTP/1.1 200 OK\r\n",
            b"SSH-2.0-x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nab",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        ];
        for answer in broken {
            assert!(
                parse(answer, false).is_err(),
                "{:?}",
                String::from_utf8_lossy(answer)
            );
        }
    }
}
