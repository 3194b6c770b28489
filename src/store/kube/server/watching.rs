//! Watches: everything after a revision, as it comes, with a bookmark wherever nothing else is to be shown.

use bytes::Bytes;
use futures::stream;
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::objects::{Event, Refused};
use super::{Answer, Asked, Server, lock};

struct Watching {
    server: Server,
    plural: String,
    label: Option<(String, String)>,
    name: Option<String>,
    bell: watch::Receiver<u64>,
    seen: u64,
    cut: u64,
    over: bool,
}

pub(super) fn answer(server: &Server, asked: &Asked) -> Response<Answer> {
    let fault = lock(&server.faults).watches.pop_front();
    if let Some(refused) = fault {
        return super::refuse(&refused);
    }
    let pair = |text: &str| text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    let watching = Watching {
        plural: asked.plural.clone(),
        label: asked.query("labelSelector").and_then(pair),
        name: asked.query("fieldSelector").and_then(pair).map(|(_, name)| name),
        bell: server.bell.subscribe(),
        seen: asked.query("resourceVersion").unwrap_or("0").parse().unwrap(),
        cut: lock(&server.faults).cut,
        over: false,
        server: server.clone(),
    };
    let lines = stream::unfold(watching, |mut watching| async move {
        let lines = watching.next().await?;
        Some((Ok::<_, std::io::Error>(Frame::data(Bytes::from(lines))), watching))
    });
    Response::new(StreamBody::new(lines).boxed_unsync())
}

impl Watching {
    async fn next(&mut self) -> Option<String> {
        loop {
            self.bell.mark_unchanged();
            let (deaf, cut, late) = {
                let faults = lock(&self.server.faults);
                (faults.deaf, faults.cut, faults.late)
            };
            if self.over || cut != self.cut {
                return None;
            }
            let until = lock(&self.server.objects).revision;
            if !late.is_zero() && self.seen < until {
                tokio::time::sleep(late).await;
            }
            if let Some(lines) = self.due(until).filter(|_| !deaf) {
                return Some(lines);
            }
            self.bell.changed().await.ok()?;
        }
    }

    /// The lines that are to be shown now, of what happened until a revision.
    fn due(&mut self, until: u64) -> Option<String> {
        let objects = lock(&self.server.objects);
        if self.seen < objects.floor {
            self.over = true;
            let refused = Refused::new(410, "Expired", "too old resource version");
            return Some(line("ERROR", &refused.status()));
        }
        if self.seen >= until {
            return None;
        }
        let new = |event: &&Event| event.revision > self.seen && event.revision <= until;
        let news = objects.events.iter().filter(new).filter(|event| event.plural == self.plural);
        let mut lines: String =
            news.filter(|event| self.wants(event)).map(|event| line(event.kind, &event.object)).collect();
        self.seen = until;
        if lines.is_empty() {
            let bookmark = json!({
                "kind": "Bookmark", "apiVersion": "v1",
                "metadata": { "resourceVersion": until.to_string() },
            });
            lines = line("BOOKMARK", &bookmark);
        }
        Some(lines)
    }

    fn wants(&self, event: &Event) -> bool {
        let meta = &event.object["metadata"];
        self.name.as_ref().is_none_or(|name| meta["name"] == *name)
            && self.label.as_ref().is_none_or(|(label, value)| meta["labels"][label] == *value)
    }
}

fn line(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({ "type": kind, "object": object }))
}
