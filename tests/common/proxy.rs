//! A fault proxy: an HTTP/1.1 server of the test process, before a backend. It records what
//! was asked, and answers by script.
//!
//! It also has what the test server of AWS KMS lacks: keys that are disabled or pending
//! deletion, regions that are dead, and key material that has an id and changes.
#![allow(dead_code, reason = "each test file uses its own part")]
use serde_json::{Value, json};
use std::{
    collections::{HashMap, VecDeque},
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::Duration,
};

/// What a request meets.
#[derive(Clone)]
pub enum Answer {
    /// The backend's answer.
    Pass,
    /// This, and the backend is not asked.
    Reply(u16, Vec<(&'static str, String)>, String),
    /// The backend's answer, late.
    Late(Duration),
    /// Byte after byte, with this time between them.
    Drip(Duration),
    /// The connection is reset, before or after the backend was asked.
    ResetBefore,
    ResetAfter,
    /// Half of the answer's body, and the connection ends.
    Truncate,
    /// The answer's body with its middle overwritten.
    Garble,
    /// The answer that the last request of this operation got.
    Stale,
    /// The backend's answer, edited.
    Edit(fn(&mut Value)),
    /// None, ever.
    Hang,
}

impl Answer {
    /// As AWS refuses.
    pub fn refusal(status: u16, code: &str) -> Self {
        let body =
            json!({ "__type": code, "message": "ACCOUNTMARKER arn:aws:iam::999900001111:user/MARKER" });
        Self::Reply(status, vec![("content-type", "application/x-amz-json-1.1".into())], body.to_string())
    }

    pub fn html(status: u16) -> Self {
        let body = "<html><body><h1>ACCOUNTMARKER went wrong</h1></body></html>";
        Self::Reply(status, vec![("content-type", "text/html".into())], body.into())
    }

    /// With one more header.
    pub fn with(self, name: &'static str, value: &str) -> Self {
        let Self::Reply(status, mut headers, body) = self else { panic!("not a reply of our own") };
        headers.push((name, value.into()));
        Self::Reply(status, headers, body)
    }
}

/// A request as it came.
#[derive(Clone)]
pub struct Request {
    pub method: String,
    /// Of AWS; of anything else its path.
    pub operation: String,
    pub region: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub text: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|h| h.0.eq_ignore_ascii_case(name)).map(|h| &*h.1)
    }

    pub fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }
}

#[derive(Clone, Debug)]
struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// Listens until it is dropped.
pub struct Proxy {
    pub at: SocketAddr,
    shared: Arc<Shared>,
    judge: Option<fn(Vec<Request>)>,
}

struct Shared {
    backend: SocketAddr,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    closed: bool,
    requests: Vec<Request>,
    forgotten: Vec<Request>,
    script: HashMap<String, VecDeque<Answer>>,
    always: HashMap<String, Answer>,
    /// What every request for a region meets.
    regions: HashMap<String, Answer>,
    /// By key id, the refusal that its state brings.
    keys: HashMap<String, &'static str>,
    material: Option<String>,
    last: HashMap<String, Reply>,
}

impl Proxy {
    pub fn before(backend: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { backend, state: Mutex::default() });
        let serving = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.state().closed {
                    break;
                }
                let shared = serving.clone();
                thread::spawn(move || stream.and_then(|stream| shared.serve(&stream)));
            }
        });
        Self { at, shared, judge: None }
    }

    /// When it is dropped `judge` is given all that was asked, whatever was forgotten.
    pub fn judged_by(mut self, judge: fn(Vec<Request>)) -> Self {
        self.judge = Some(judge);
        self
    }

    /// The next request of `operation` meets this; several queue up.
    pub fn then(&self, operation: &str, answer: Answer) -> &Self {
        self.shared.state().script.entry(operation.into()).or_default().push_back(answer);
        self
    }

    /// Every request of `operation` meets this when its script is empty; `*` is any.
    pub fn always(&self, operation: &str, answer: Answer) -> &Self {
        self.shared.state().always.insert(operation.into(), answer);
        self
    }

    /// Script and rules are gone; what was recorded stays.
    pub fn pass(&self) -> &Self {
        let mut state = self.shared.state();
        state.script.clear();
        state.always.clear();
        state.regions.clear();
        self
    }

    /// Connections for this region are reset.
    pub fn region_is_dead(&self, region: &str) -> &Self {
        self.region(region, Answer::ResetBefore)
    }

    /// Every request for this region meets this.
    pub fn region(&self, region: &str, answer: Answer) -> &Self {
        self.shared.state().regions.insert(region.into(), answer);
        self
    }

    /// Whatever is asked of this key is refused like that.
    pub fn key_is(&self, key: &str, code: &'static str) -> &Self {
        self.shared.state().keys.insert(bare(key).into(), code);
        self
    }

    /// The id of every key's material from now on.
    pub fn material(&self, id: Option<&str>) -> &Self {
        self.shared.state().material = id.map(Into::into);
        self
    }

    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    pub fn forget(&self) {
        let mut state = self.shared.state();
        let mut requests = std::mem::take(&mut state.requests);
        state.forgotten.append(&mut requests);
    }

    /// How often anything was asked of this region.
    pub fn count_in(&self, region: &str) -> usize {
        self.shared.state().requests.iter().filter(|r| r.region == region).count()
    }

    /// How often `operation` was asked for; `*` is any.
    pub fn count(&self, operation: &str) -> usize {
        let state = self.shared.state();
        state.requests.iter().filter(|r| operation == "*" || r.operation == operation).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        // The listener looks up.
        drop(TcpStream::connect(self.at));
        self.forget();
        let asked = std::mem::take(&mut self.shared.state().forgotten);
        if let Some(judge) = self.judge.filter(|_| !thread::panicking()) {
            judge(asked);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Requests of one connection, one after the other.
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        while let Some(request) = read_request(&mut reader)? {
            let (answer, stale) = {
                let mut state = self.state();
                state.requests.push(request.clone());
                (state.answer(&request), state.last.get(&request.operation).cloned())
            };
            let mut reply = match answer {
                Answer::Hang => loop {
                    thread::sleep(Duration::from_millis(50));
                    if self.state().closed {
                        return Ok(());
                    }
                },
                Answer::ResetBefore => return stream.shutdown(Shutdown::Both),
                Answer::Reply(status, ref headers, ref body) => {
                    let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), v.clone()));
                    let id =
                        ("x-amzn-requestid".to_owned(), "11112222-3333-4444-5555-666677778888".to_owned());
                    Reply { status, headers: headers.chain([id]).collect(), body: body.clone().into() }
                }
                _ => self.pass(&request)?,
            };
            match answer {
                Answer::ResetAfter => return stream.shutdown(Shutdown::Both),
                Answer::Late(time) => thread::sleep(time),
                Answer::Garble => {
                    let middle = reply.body.len() / 2;
                    reply.body[middle - 3..middle + 3].copy_from_slice(b"\"}{\x01,\"");
                }
                Answer::Stale => reply = stale.expect("a reply before this one"),
                Answer::Edit(edit) => reply.edit(edit),
                _ => {}
            }
            let mut bytes = reply.to_bytes();
            match answer {
                Answer::Truncate => {
                    bytes.truncate(bytes.len() - reply.body.len() / 2);
                    (&mut &*stream).write_all(&bytes)?;
                    return stream.shutdown(Shutdown::Both);
                }
                Answer::Drip(time) => {
                    for byte in bytes {
                        (&mut &*stream).write_all(&[byte])?;
                        thread::sleep(time);
                    }
                }
                _ => (&mut &*stream).write_all(&bytes)?,
            }
            if request.header("connection").is_some_and(|c| c.eq_ignore_ascii_case("close")) {
                return stream.shutdown(Shutdown::Both);
            }
        }
        Ok(())
    }

    /// The backend's answer, with what the backend lacks.
    fn pass(&self, request: &Request) -> io::Result<Reply> {
        let mut reply = ask(self.backend, request)?;
        let mut state = self.state();
        let asked = request.body();
        let named = |value: &Value| value["KeyId"].as_str().map(bare).unwrap_or_default().to_owned();
        match &*request.operation {
            _ if reply.status != 200 => {}
            "DisableKey" => drop(state.keys.insert(named(&asked), "DisabledException")),
            "ScheduleKeyDeletion" => drop(state.keys.insert(named(&asked), "KMSInvalidStateException")),
            "CancelKeyDeletion" => drop(state.keys.insert(named(&asked), "DisabledException")),
            "EnableKey" => drop(state.keys.remove(&named(&asked))),
            "GenerateDataKey" | "Encrypt" | "Decrypt" => {
                let body: Value = serde_json::from_slice(&reply.body)?;
                if let Some(code) = state.keys.get(&named(&body)) {
                    reply.status = 400;
                    reply.body = json!({ "__type": code }).to_string().into();
                } else if let Some(material) = &state.material
                    && request.operation != "Encrypt"
                {
                    reply.edit(|body| body["KeyMaterialId"] = json!(material));
                }
            }
            "DescribeKey" => {
                if let Some(material) = &state.material {
                    reply.edit(|body| body["KeyMetadata"]["CurrentKeyMaterialId"] = json!(material));
                }
            }
            _ => {}
        }
        state.last.insert(request.operation.clone(), reply.clone());
        Ok(reply)
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Answer {
        if let Some(answer) = self.regions.get(&request.region) {
            return answer.clone();
        }
        let scripted = self.script.get_mut(&request.operation).and_then(VecDeque::pop_front);
        let always = || self.always.get(&request.operation).or(self.always.get("*")).cloned();
        scripted.or_else(always).unwrap_or(Answer::Pass)
    }
}

impl Reply {
    fn edit(&mut self, edit: impl FnOnce(&mut Value)) {
        let mut body = serde_json::from_slice(&self.body).unwrap_or(Value::Null);
        edit(&mut body);
        self.body = body.to_string().into();
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} said\r\n", self.status);
        for (name, value) in &self.headers {
            if !["content-length", "connection", "transfer-encoding"].contains(&&*name.to_ascii_lowercase()) {
                head += &format!("{name}: {value}\r\n");
            }
        }
        head += &format!("content-length: {}\r\n\r\n", self.body.len());
        [head.as_bytes(), &self.body].concat()
    }
}

/// The last part of an ARN, or all of an id.
fn bare(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

fn ask(backend: SocketAddr, request: &Request) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(backend)?;
    let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.path);
    for (name, value) in request.headers.iter().filter(|h| !h.0.eq_ignore_ascii_case("connection")) {
        head += &format!("{name}: {value}\r\n");
    }
    head += "connection: close\r\n\r\n";
    stream.write_all(&[head.as_bytes(), request.text.as_bytes()].concat())?;
    let mut reader = BufReader::new(&stream);
    let (first, headers) = read_head(&mut reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut body = Vec::new();
    reader.read_to_end(&mut body)?;
    let status = first.split(' ').nth(1).and_then(|s| s.parse().ok());
    Ok(Reply { status: status.ok_or(io::ErrorKind::InvalidData)?, headers, body })
}

pub fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let Some((first, headers)) = read_head(reader)? else { return Ok(None) };
    let mut words = first.split(' ').map(String::from);
    let mut request = Request {
        method: words.next().unwrap_or_default(),
        operation: String::new(),
        region: String::new(),
        path: words.next().unwrap_or_default(),
        headers,
        text: String::new(),
    };
    let len = request.header("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut body = vec![0; len];
    reader.read_exact(&mut body)?;
    request.text = String::from_utf8(body).map_err(|_| io::ErrorKind::InvalidData)?;
    let target = request.header("x-amz-target").and_then(|t| t.split('.').nth(1));
    let action = request.text.strip_prefix("Action=").and_then(|t| t.split('&').next());
    request.operation = target.or(action).unwrap_or(&request.path).into();
    let scope = request.header("authorization").and_then(|a| a.split('/').nth(2));
    request.region = scope.unwrap_or_default().into();
    Ok(Some(request))
}

type Head = (String, Vec<(String, String)>);

/// The first line and the headers; nothing where the connection ended before them.
fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let headers = lines.iter().skip(1).filter_map(|l| l.split_once(": ").map(|(n, v)| (n.into(), v.into())));
    Ok(Some((lines.first().cloned().unwrap_or_default(), headers.collect())))
}
