use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A request as the server got it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// The path with its query, exactly as sent.
    pub target: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    /// What was read of the body.
    pub body: Vec<u8>,
    /// Whether the body was not read to its end.
    pub cut: bool,
}

impl Asked {
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// An answer. `Content-Length` says the size of the body unless it is given, so that a body can be cut short.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    stalls: bool,
    is_chunked: bool,
}

impl Answer {
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), stalls: false, is_chunked: false }
    }

    /// No answer: the connection ends.
    pub fn none() -> Self {
        Self::new(0)
    }

    /// No answer, and the connection does not end either.
    pub fn never() -> Self {
        Self::none().stalling()
    }

    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Without a header.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    /// With another status.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// After its body the connection stays open, and nothing comes any more.
    pub fn stalling(mut self) -> Self {
        self.stalls = true;
        self
    }

    /// Without `Content-Length`: the body comes in chunks.
    pub fn chunked(mut self) -> Self {
        self.is_chunked = true;
        self.without("content-length").header("Transfer-Encoding", "chunked")
    }

    /// Only the first bytes of the body, under the length that the whole would have.
    pub fn cut_after(mut self, bytes: usize) -> Self {
        let size = self.body.len();
        self.body.truncate(bytes);
        self.header("Content-Length", size)
    }

    pub fn status(&self) -> u16 {
        self.status
    }

    /// The size of the body.
    pub fn size(&self) -> usize {
        self.body.len()
    }
}

type Play = dyn Fn(&Asked) -> Answer + Send + Sync;
/// After how many bytes of a body the connection is broken off, given the head of the request and the body's size.
type Cut = dyn Fn(&Asked, usize) -> Option<usize> + Send + Sync;

/// A registry that plays whatever part a test gives it, one request to a connection. It keeps what it was asked.
pub struct Misbehaving {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    ended: Arc<AtomicBool>,
}

impl Misbehaving {
    pub fn start(play: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_with_cuts(|_, _| None, play)
    }

    /// Starts one that stops reading in the middle of bodies. `play` gets what was read of such a one; its answer is sent
    /// while the rest still comes, or the connection is broken off there if it has none.
    pub fn start_with_cuts(
        cut: impl Fn(&Asked, usize) -> Option<usize> + Send + Sync + 'static,
        play: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let (asked, ended, play) = (Arc::default(), Arc::new(AtomicBool::new(false)), Arc::new(play) as Arc<Play>);
        let cut = Arc::new(cut) as Arc<Cut>;
        let server = Self { address, asked: Arc::clone(&asked), ended: Arc::clone(&ended) };
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                let (asked, play, cut) = (Arc::clone(&asked), Arc::clone(&play), Arc::clone(&cut));
                thread::spawn(move || serve(&stream, &asked, &*play, &*cut));
            }
        });
        server
    }

    /// Host and port.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// What was asked so far, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no test thread panics here").clone()
    }

    /// The request lines so far, in order.
    pub fn lines(&self) -> Vec<String> {
        self.asked().iter().map(Asked::line).collect()
    }
}

impl Drop for Misbehaving {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: &TcpStream, asked: &Mutex<Vec<Asked>>, play: &Play, cut: &Cut) {
    let Some(request) = read(stream, cut) else { return };
    asked.lock().expect("no test thread panics here").push(request.clone());
    let answer = play(&request);
    // What was not read makes a reset of the end.
    if answer.status == 0 {
        if answer.stalls {
            let mut stream = stream;
            let _ = io::copy(&mut stream, &mut io::sink());
        }
        return;
    }
    let mut head = format!("HTTP/1.1 {} Played\r\nConnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let sized = answer.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    if !sized && !answer.is_chunked {
        head.push_str(&format!("Content-Length: {}\r\n", answer.body.len()));
    }
    head.push_str("\r\n");
    let mut stream = stream;
    let _ = stream.write_all(head.as_bytes());
    if request.method != "HEAD" {
        let _ = write_body(stream, &answer);
    }
    if !answer.stalls {
        let _ = stream.shutdown(Shutdown::Write);
    }
    // What comes is thrown away, as proxies do, or the end would be a reset and the answer lost with it.
    let _ = io::copy(&mut stream, &mut io::sink());
}

fn write_body(mut stream: &TcpStream, answer: &Answer) -> io::Result<()> {
    if !answer.is_chunked {
        return stream.write_all(&answer.body);
    }
    for chunk in answer.body.chunks(1000) {
        write!(stream, "{:x}\r\n", chunk.len())?;
        stream.write_all(chunk)?;
        stream.write_all(b"\r\n")?;
    }
    stream.write_all(b"0\r\n\r\n")
}

fn read(stream: &TcpStream, cut: &Cut) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let size = headers.get("content-length").and_then(|size| size.parse().ok()).unwrap_or(0);
    let mut asked = Asked { method, target, headers, body: Vec::new(), cut: false };
    let end = cut(&asked, size);
    asked.cut = end.is_some();
    asked.body = vec![0; end.unwrap_or(size)];
    reader.read_exact(&mut asked.body).ok()?;
    Some(asked)
}
