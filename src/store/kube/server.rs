//! An API server in memory, for tests: list, watch, get, create, patch (merge and apply) and delete of our kinds, with their
//! schemas and rules, revisions, finalizers and bookmarks. What it does not know it answers with 501.

pub(crate) mod objects;
pub(crate) mod schema;
mod watching;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::watch;

pub(crate) use objects::{Objects, Refused, merge};

/// A server. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Server {
    pub(super) objects: Arc<Mutex<Objects>>,
    pub(super) faults: Arc<Mutex<Faults>>,
    /// Rings at every change, and at every change of the faults.
    pub(super) bell: watch::Sender<u64>,
    /// Every request that came, as `METHOD path`.
    log: Arc<Mutex<Vec<String>>>,
    /// What was asked for, as roles name it: `verb group/resource`.
    rights: Arc<Mutex<BTreeSet<String>>>,
}

/// The body of an answer.
pub(super) type Answer = UnsyncBoxBody<Bytes, std::io::Error>;

/// What goes wrong.
#[derive(Default)]
pub(crate) struct Faults {
    /// What the next requests of a method are answered, whatever they ask for.
    pub(crate) answers: HashMap<Method, VecDeque<Refused>>,
    /// What the next watches are answered.
    pub(crate) watches: VecDeque<Refused>,
    /// Watches show nothing, and their connections stand.
    pub(crate) deaf: bool,
    /// Watches that are open end.
    pub(crate) cut: u64,
    /// Watches show everything so much later.
    pub(crate) late: Duration,
    /// What a patch came to is answered so much later than it is done.
    pub(crate) slow: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            objects: Arc::new(Mutex::new(Objects::new())),
            faults: Arc::default(),
            bell: watch::Sender::new(0),
            log: Arc::default(),
            rights: Arc::default(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    /// A client of it.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.clone(), "mdfabric-system")
    }

    /// Works on what it has.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Objects) -> T) -> T {
        let result = work(&mut lock(&self.objects));
        self.bell.send_modify(|bell| *bell += 1);
        result
    }

    /// Makes something go wrong.
    pub(crate) fn fault(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut lock(&self.faults));
        self.bell.send_modify(|bell| *bell += 1);
    }

    /// The requests since the last time this was asked, without those that only watch.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.log))
    }

    /// Every right that was needed so far.
    pub(crate) fn rights(&self) -> BTreeSet<String> {
        lock(&self.rights).clone()
    }

    async fn answer(self, request: Request<Body>) -> Response<Answer> {
        let (parts, body) = request.into_parts();
        let Some(asked) = Asked::parse(&parts) else { return refuse(&Refused::new(501, "", "no such path")) };
        let body = body.collect_bytes().await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        lock(&self.rights).insert(asked.right(&parts.method));
        if asked.flag("watch") {
            return watching::answer(&self, &asked);
        }
        lock(&self.log).push(format!("{} {}", parts.method, parts.uri.path()));
        let fault = lock(&self.faults).answers.get_mut(&parts.method).and_then(VecDeque::pop_front);
        let result = match fault {
            Some(fault) => Err(fault),
            None => self.with(|objects| work(objects, &parts, &asked, &body)),
        };
        let slow = lock(&self.faults).slow;
        if parts.method == Method::PATCH && !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        match result {
            Ok(value) => json_response(200, &value),
            Err(refused) => refuse(&refused),
        }
    }
}

fn work(
    objects: &mut Objects,
    parts: &http::request::Parts,
    asked: &Asked,
    body: &Value,
) -> Result<Value, Refused> {
    let content = parts.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    match (parts.method.as_str(), &asked.name) {
        ("GET", None) => objects.list(asked),
        ("GET", Some(name)) => objects.get(&asked.plural, name),
        ("POST", None) => objects.create(&asked.plural, body.clone(), asked.manager(), asked.is_strict()),
        ("PATCH", Some(name)) => objects.patch(
            &asked.plural,
            name,
            asked.is_status(),
            body,
            &objects::How {
                apply: content.contains("apply-patch"),
                force: asked.flag("force"),
                strict: asked.is_strict(),
                manager: asked.manager().to_owned(),
            },
        ),
        ("DELETE", Some(name)) => objects.delete(&asked.plural, name, body),
        (method, _) => Err(Refused::new(501, "", &format!("no {method}"))),
    }
}

/// What a request is about.
pub(crate) struct Asked {
    group: String,
    pub(crate) plural: String,
    pub(crate) name: Option<String>,
    part: Option<String>,
    query: HashMap<String, String>,
}

impl Asked {
    fn parse(parts: &http::request::Parts) -> Option<Self> {
        let path = parts.uri.path().strip_prefix("/apis/")?;
        let (group, path) = path.split_once('/')?;
        let mut words = path.split('/').skip(1);
        let mut plural = words.next()?;
        if plural == "namespaces" {
            plural = words.nth(1)?;
        }
        let query = parts.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        let query = query.map(|(key, value)| (key.to_owned(), unescape(value))).collect();
        let mut own = || words.next().map(str::to_owned);
        let (group, plural) = (group.to_owned(), plural.to_owned());
        Some(Self { group, plural, name: own(), part: own(), query })
    }

    /// What a role has to allow.
    fn right(&self, method: &Method) -> String {
        let verb = match (method.as_str(), &self.name) {
            ("GET", _) if self.flag("watch") => "watch",
            ("GET", None) => "list",
            ("GET", Some(_)) => "get",
            ("POST", _) => "create",
            ("PATCH", _) => "patch",
            ("DELETE", _) => "delete",
            (other, _) => other,
        };
        let part = self.part.as_ref().map(|part| format!("/{part}")).unwrap_or_default();
        format!("{verb} {}/{}{part}", self.group, self.plural)
    }

    pub(crate) fn query(&self, key: &str) -> Option<&str> {
        self.query.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The revision that a listing is to be as of, and of no other.
    pub(crate) fn exact_revision(&self) -> Option<u64> {
        self.query("resourceVersionMatch").filter(|how| *how == "Exact")?;
        self.query("resourceVersion")?.parse().ok()
    }

    fn flag(&self, key: &str) -> bool {
        self.query(key).is_some_and(|value| value == "true" || value == "1")
    }

    fn is_strict(&self) -> bool {
        self.query("fieldValidation") == Some("Strict")
    }

    fn is_status(&self) -> bool {
        self.part.as_deref() == Some("status")
    }

    fn manager(&self) -> &str {
        self.query("fieldManager").unwrap_or("unknown")
    }

    /// Whether the selectors of a list or watch take an object.
    pub(crate) fn selects(&self, object: &Value) -> bool {
        let label = self.query("labelSelector").and_then(|text| text.split_once('='));
        let field = self.query("fieldSelector").and_then(|text| text.split_once('='));
        label.is_none_or(|(label, value)| object["metadata"]["labels"][label] == value)
            && field.is_none_or(|(_, value)| object["metadata"]["name"] == value)
    }
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        rest = others;
        match (first, others) {
            (b'%', [high, low, others @ ..]) => {
                let digits = [*high, *low];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                rest = others;
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn json_response(code: u16, value: &Value) -> Response<Answer> {
    let body = Full::new(Bytes::from(serde_json::to_vec(value).unwrap()));
    let body = body.map_err(|never| match never {}).boxed_unsync();
    Response::builder().status(code).header("content-type", "application/json").body(body).unwrap()
}

fn refuse(refused: &Refused) -> Response<Answer> {
    json_response(refused.code, &refused.status())
}

impl Refused {
    /// As the API server says it.
    pub(super) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": self.code, "reason": self.reason,
            "message": self.message,
        });
        if let Some(name) = &self.name {
            status["details"] = json!({ "name": name });
        }
        status
    }
}

impl tower::Service<Request<Body>> for Server {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answer>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move { Ok(server.answer(request).await) })
    }
}
