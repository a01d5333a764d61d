//! ClientHello messages, well-formed ones and the raw material for broken ones. Knows the bytes only, no cryptography.

/// Describes a ClientHello (RFC 8446, section 4.1.2) as browsers send it.
#[derive(Clone, Debug, Default)]
pub struct ClientHello {
    server_name: Option<String>,
    alpn: Vec<String>,
    padding: usize,
}

impl ClientHello {
    /// Without a server name.
    pub fn new() -> Self {
        Self::default()
    }

    /// The name in the server_name extension (RFC 6066, section 3), as given: it may be an invalid one.
    pub fn server_name(mut self, name: &str) -> Self {
        self.server_name = Some(name.to_owned());
        self
    }

    /// One more protocol of the ALPN extension (RFC 7301).
    pub fn alpn(mut self, protocol: &str) -> Self {
        self.alpn.push(protocol.to_owned());
        self
    }

    /// Adds a padding extension (RFC 7685) of so many bytes, ahead of the name: at most 60,000.
    pub fn padding(mut self, len: usize) -> Self {
        self.padding = len;
        self
    }

    /// The handshake message, without a record around it.
    pub fn message(&self) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([0x5a; 32]);
        body.push(32);
        body.extend([0xa5; 32]);
        // TLS_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        body.extend(sized16(&[0x13, 0x01, 0xc0, 0x2b, 0xc0, 0x2f]));
        // Compression: null.
        body.extend([1, 0]);
        let mut extensions = Vec::new();
        if self.padding > 0 {
            extension(&mut extensions, 21, &vec![0; self.padding]);
        }
        // supported_groups: x25519, secp256r1; ec_point_formats: uncompressed
        extension(&mut extensions, 10, &[0, 4, 0, 29, 0, 23]);
        extension(&mut extensions, 11, &[1, 0]);
        // signature_algorithms: ecdsa_secp256r1_sha256, rsa_pss_rsae_sha256, rsa_pkcs1_sha256
        extension(&mut extensions, 13, &[0, 6, 4, 3, 8, 4, 4, 1]);
        // supported_versions: 1.3, 1.2
        extension(&mut extensions, 43, &[4, 3, 4, 3, 3]);
        if let Some(name) = &self.server_name {
            // A list of one entry of type host_name.
            let entry = [&[0][..], &sized16(name.as_bytes())].concat();
            extension(&mut extensions, 0, &sized16(&entry));
        }
        if !self.alpn.is_empty() {
            let names: Vec<u8> =
                self.alpn.iter().flat_map(|name| [&[name.len() as u8][..], name.as_bytes()].concat()).collect();
            extension(&mut extensions, 16, &sized16(&names));
        }
        body.extend(sized16(&extensions));
        // Handshake header: client_hello and a length of 24 bits.
        let len = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
        [&[1][..], &len[1..], &body].concat()
    }

    /// The message in one record (RFC 8446, section 5.1).
    pub fn record(&self) -> Vec<u8> {
        record(&self.message())
    }

    /// The message cut into records of at most `size` bytes of it, which a receiver has to put together.
    pub fn records(&self, size: usize) -> Vec<u8> {
        self.message().chunks(size).flat_map(record).collect()
    }
}

/// A handshake record around `fragment`.
pub fn record(fragment: &[u8]) -> Vec<u8> {
    [&[22, 3, 1][..], &sized16(fragment)].concat()
}

/// The server name in a ClientHello that came in one record; `None` when there is none, or the record is something else.
pub fn server_name(record: &[u8]) -> Option<String> {
    let mut at = Reader(record);
    at.take(5)?;
    // Header of the message, version, random.
    at.take(4 + 2 + 32)?;
    let session = at.number(1)?;
    at.take(session)?;
    let suites = at.number(2)?;
    at.take(suites)?;
    let compression = at.number(1)?;
    at.take(compression)?;
    let len = at.number(2)?;
    let mut extensions = Reader(at.take(len)?);
    loop {
        let kind = extensions.number(2)?;
        let len = extensions.number(2)?;
        let data = extensions.take(len)?;
        if kind == 0 {
            return String::from_utf8(data.get(5..)?.to_vec()).ok();
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |value, byte| value << 8 | usize::from(*byte)))
    }
}

fn extension(out: &mut Vec<u8>, kind: u16, data: &[u8]) {
    out.extend(kind.to_be_bytes());
    out.extend(sized16(data));
}

fn sized16(data: &[u8]) -> Vec<u8> {
    let len = u16::try_from(data.len()).expect("the tests build nothing longer than a record");
    [&len.to_be_bytes()[..], data].concat()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_name_is_found_again() {
        let hello = ClientHello::new().padding(3000).server_name("a.example.cn").alpn("h2").alpn("http/1.1");
        assert_eq!(server_name(&hello.record()).as_deref(), Some("a.example.cn"));
        assert_eq!(server_name(&ClientHello::new().record()), None);
        assert_eq!(server_name(b"GET / HTTP/1.1\r\n\r\n"), None);
    }

    #[test]
    fn records_carry_the_message() {
        let hello = ClientHello::new().server_name("a");
        let cut = hello.records(10);
        let mut joined: Vec<u8> = Vec::new();
        let mut at = Reader(&cut);
        while let Some(header) = at.take(5) {
            joined.extend(at.take(usize::from(header[4])).expect("fragment"));
        }
        assert_eq!(joined, hello.message());
    }

    #[test]
    fn openssl_reads_the_hello() {
        if crate::program("openssl").is_none() {
            return crate::skip("openssl is not installed");
        }
        let dir = crate::TempDir::new();
        let port = crate::client::free_port();
        let openssl = |args: &str| {
            let mut command = Command::new("openssl");
            command.args(args.split(' ')).current_dir(dir.path());
            // At the end of its input the server would close what it has accepted.
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let made = openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=a -keyout k.pem -out c.pem",
        )
        .status();
        assert!(made.is_ok_and(|status| status.success()));
        // Another name than this one would be answered with an alert.
        let mut server = openssl(&format!(
            "s_server -accept 127.0.0.1:{port} -key k.pem -cert c.pem -tls1_2 -naccept 1 \
             -servername www.example.cn -servername_fatal -cert2 c.pem -key2 k.pem"
        ))
        .spawn()
        .expect("openssl");
        let addr = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let mut stream = crate::eventually("s_server listens", || crate::client::try_connect(addr).ok());
        stream.write_all(&ClientHello::new().server_name("www.example.cn").record()).expect("write");
        let answer = crate::client::read_exact(&stream, 6);
        let _ = server.kill();
        let _ = server.wait();
        // A handshake record whose first message is a ServerHello.
        assert_eq!((answer[0], answer[5]), (22, 2));
    }
}
